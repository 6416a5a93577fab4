;; Asks for sockets, which there are none of, without end.
;; The host must answer: a timeout; and nothing of it in the logs of the process.
(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_recv" (func $sock_recv (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $sock_send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_shutdown" (func $sock_shutdown (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (loop $again
      (drop (call $sock_accept (i32.const 1) (i32.const 0) (i32.const 16)))
      (drop (call $sock_recv (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 32) (i32.const 36)))
      (drop (call $sock_send (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 32)))
      (drop (call $sock_shutdown (i32.const 1) (i32.const 0)))
      (br $again))))
