;; What Jobico-fn's Rust SDK builds: `malloc` always answers 1, so the answer's place lies upon the event, unaligned,
;; and `free` traps on pointer 1. It works because the function has read the event before it writes its answer.
;; The host must answer: ok, code 0, the event's bytes; a trap in `free`, after the answer was read, fails no event.
;; So the host writes nothing between `malloc(16)` and `event`.
(module
  (memory (export "memory") 2)
  (func (export "malloc") (param $size i32) (result i32)
    (i32.const 1))
  (func (export "free") (param $ptr i32) (param $size i32)
    (if (i32.eq (local.get $ptr) (i32.const 1)) (then unreachable)))
  (func (export "ver") (result i32)
    (i32.const 1))
  (func (export "init"))
  (func $answer (param $r i32) (param $code i64) (param $ptr i32) (param $len i32)
    (i64.store (local.get $r) (local.get $code))
    (i32.store offset=8 (local.get $r) (local.get $len))
    (i32.store offset=12 (local.get $r) (local.get $ptr)))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (memory.copy (i32.const 65536) (local.get $ptr) (local.get $len))
    (call $answer (local.get $r) (i64.const 0) (i32.const 65536) (local.get $len)))
)
