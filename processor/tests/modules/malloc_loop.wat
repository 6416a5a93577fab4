;; `malloc` never returns.
;; The host must answer: a timeout, in malloc.
(module
  (memory (export "memory") 2)
  (func (export "malloc") (param i32) (result i32)
    (loop $again (br $again))
    unreachable)
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    unreachable))
