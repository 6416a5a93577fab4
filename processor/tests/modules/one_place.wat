;; `malloc` answers the same place each time, so that the answer's place lies over the event.
;; The host must answer: what stands there at the end: an output of as many bytes as it says. Nothing else suffers.
(module
  (memory (export "memory") 2)
  (func (export "malloc") (param i32) (result i32)
    (i32.const 1024))
  (func (export "free") (param i32))
  (func $answer (param $r i32) (param $ptr i32) (param $len i32)
    (i64.store (local.get $r) (i64.const 0))
    (i32.store offset=8 (local.get $r) (local.get $len))
    (i32.store offset=12 (local.get $r) (local.get $ptr)))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (call $answer (local.get $r) (local.get $r) (local.get $len))))
