;; `malloc` traps.
;; The host must answer: a trap, in malloc.
(module
  (memory (export "memory") 2)
  (func (export "malloc") (param i32) (result i32)
    unreachable)
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    unreachable))
