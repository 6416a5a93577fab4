;; `malloc` answers 0: it has no memory to give.
;; The host must answer: a failure (bad ABI), with nothing written at address 0.
(module
  (memory (export "memory") 2)
  (func (export "malloc") (param $size i32) (result i32)
    (i32.const 0))
  (func (export "free") (param $ptr i32))
  (func (export "init"))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    unreachable)
)
