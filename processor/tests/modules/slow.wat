;; Answers with the event, after some half a millisecond or more.
(module
  (memory (export "memory") 1)
  (func (export "malloc") (param $bytes i32) (result i32)
    (select (i32.const 1024) (i32.const 4096) (i32.eq (local.get $bytes) (i32.const 16))))
  (func (export "free") (param i32 i32))
  (func (export "event") (param $answer i32) (param $event i32) (param $bytes i32) (local $left i64)
    (local.set $left (i64.const 2000000))
    (loop $again
      (local.set $left (i64.sub (local.get $left) (i64.const 1)))
      (br_if $again (i64.gt_s (local.get $left) (i64.const 0))))
    (i64.store (local.get $answer) (i64.const 0))
    (i64.store offset=8 (local.get $answer)
      (i64.or
        (i64.shl (i64.extend_i32_u (local.get $event)) (i64.const 32))
        (i64.extend_i32_u (local.get $bytes))))))
