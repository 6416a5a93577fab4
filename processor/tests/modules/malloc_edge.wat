;; `malloc` answers the last 8 bytes of the memory: the event fits, the 16 bytes of the answer's place do not.
;; The host must answer: a failure (bad ABI); nothing beyond the memory is read.
(module
  (memory (export "memory") 2)
  (func (export "malloc") (param i32) (result i32)
    (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 8)))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    nop))
