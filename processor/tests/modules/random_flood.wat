;; Asks for 1 MiB of random bytes without end.
;; The host must answer: a timeout.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 18)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (loop $again
      (drop (call $random_get (i32.const 0) (i32.const 0x100000)))
      (br $again))))
