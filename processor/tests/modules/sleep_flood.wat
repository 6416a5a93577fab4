;; Asks WASI for long sleeps in all forms, without end: relative, until a time, many at once, on none.
;; The host must answer: a timeout.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 18)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    ;; At 64: user data, tag 0 (clock), clock 1 (monotonic), nanoseconds, precision, flags.
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 0x7fffffffffffffff))
    (loop $again
      (i32.store16 (i32.const 104) (i32.const 0))
      (drop (call $poll_oneoff (i32.const 64) (i32.const 4096) (i32.const 1) (i32.const 32)))
      (i32.store16 (i32.const 104) (i32.const 1))
      (drop (call $poll_oneoff (i32.const 64) (i32.const 4096) (i32.const 1) (i32.const 32)))
      (drop (call $poll_oneoff (i32.const 64) (i32.const 4096) (i32.const 10000) (i32.const 32)))
      (drop (call $poll_oneoff (i32.const 64) (i32.const 4096) (i32.const 0) (i32.const 32)))
      (br $again))))
