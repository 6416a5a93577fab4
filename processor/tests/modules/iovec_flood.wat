;; Writes two million pieces of no bytes to standard output, without end: one call looks at each of them.
;; The host must answer: a timeout; one such call is over soon.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 256)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (loop $again
      (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0x1fff00) (i32.const 16)))
      (br $again))))
