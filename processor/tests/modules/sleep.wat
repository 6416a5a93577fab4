;; Asks WASI to sleep for an hour in an event, then answers it. The wait is in the host, where no wasm runs that a
;; deadline could interrupt.
;; The host must answer: a failure or the event, within its deadline.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; A bump allocator that starts again when nothing is live.
  (global $next (mut i32) (i32.const 1024))
  (global $live (mut i32) (i32.const 0))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (local.get $at))
  (func (export "free") (param $ptr i32)
    ;; What is not from here, such as a constant answer, is let be.
    (if (i32.or (i32.lt_u (local.get $ptr) (i32.const 1024)) (i32.ge_u (local.get $ptr) (global.get $next)))
      (then (return)))
    (global.set $live (i32.sub (global.get $live) (i32.const 1)))
    (if (i32.eqz (global.get $live)) (then (global.set $next (i32.const 1024)))))
  (func (export "init"))
  (func $answer (param $r i32) (param $code i64) (param $ptr i32) (param $len i32)
    (i64.store (local.get $r) (local.get $code))
    (i32.store offset=8 (local.get $r) (local.get $len))
    (i32.store offset=12 (local.get $r) (local.get $ptr)))
  (func $echo (param $r i32) (param $ptr i32) (param $len i32)
    (local $copy i32)
    (local.set $copy (call $malloc (local.get $len)))
    (memory.copy (local.get $copy) (local.get $ptr) (local.get $len))
    (call $answer (local.get $r) (i64.const 0) (local.get $copy) (local.get $len)))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    ;; One subscription at 64: user data, then tag 0 (clock), clock 1 (monotonic), the time in nanoseconds.
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 3600000000000))
    (drop (call $poll_oneoff (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 192)))
    (call $echo (local.get $r) (local.get $ptr) (local.get $len)))
)
