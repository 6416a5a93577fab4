//! Rows, and records that become rows.

use jobico_broker::Append;
use jobico_event::function_log::Level;
use jobico_event::result::{Status, output_json};
use jobico_event::{JobId, TenantId, header, name};
use jobico_recorder::row::{Key, LogRow, ResultRow, now_ms};

/// Seconds that a row of a test lives.
const TTL_S: i64 = 3600;

/// A result of the event `e{offset}` on the tenant's queue, at a time.
pub fn result(tenant: &TenantId, at_ms: i64, offset: i64) -> ResultRow {
    ResultRow {
        tenant: tenant.clone(),
        key: Key { at_ms, topic: format!("{tenant}.q"), partition: 0, offset, index: 0 },
        expires_at_s: now_ms() / 1000 + TTL_S,
        event: format!("e{offset}"),
        job: JobId::new("job").unwrap(),
        function: "f.wasm@00".into(),
        status: Status::Ok,
        code: 0,
        data: output_json(Some(format!("{{\"n\":{offset}}}").as_bytes())),
        attempts: 1,
    }
}

/// A line that was logged for an event of the tenant's queue.
pub fn log(tenant: &TenantId, at_ms: i64, offset: i64) -> LogRow {
    LogRow {
        tenant: tenant.clone(),
        key: Key { at_ms, topic: format!("{tenant}.q"), partition: 0, offset, index: 0 },
        expires_at_s: now_ms() / 1000 + TTL_S,
        event: format!("e{offset}"),
        job: JobId::new("job").unwrap(),
        function: "f.wasm@00".into(),
        level: Level::Info,
        message: format!("line {offset}"),
    }
}

/// A record of the tenant's results topic, as processors write it.
pub fn result_record(tenant: &TenantId, event: &str, offset: i64, value: &[u8]) -> Append {
    let text = |text: &str| text.as_bytes().to_vec();
    let headers = [
        (header::STATUS, text("ok")),
        (header::CODE, text("0")),
        (header::JOB, text("job")),
        (header::FUNCTION, text("f.wasm@00")),
        (header::EVENT, text(event)),
        (header::ORIGIN_TOPIC, text(&format!("{tenant}.q"))),
        (header::ORIGIN_PARTITION, text("0")),
        (header::ORIGIN_OFFSET, text(&offset.to_string())),
        (header::ATTEMPTS, text("1")),
        (header::INDEX, text("0/1")),
    ];
    Append {
        topic: name::results(tenant),
        key: None,
        value: Some(value.to_vec()),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

/// A record of the log topic, as processors write it.
pub fn log_record(tenant: &TenantId, event: &str, level: &str, message: &str) -> Append {
    let value = serde_json::json!({
        "tenant": tenant, "job": "job", "function": "f.wasm@00", "event": event, "level": level, "message": message,
        "line": 0, "topic": format!("{tenant}.q"), "partition": 0, "offset": 0, "at": "",
    });
    Append {
        topic: name::LOG.to_owned(),
        key: Some(tenant.as_str().as_bytes().to_vec()),
        value: Some(serde_json::to_vec(&value).unwrap()),
        headers: vec![],
    }
}

/// A record of the tenant's topic of dead letters, as processors write it: the event's own parts, and the cause.
pub fn dead_record(tenant: &TenantId, event: &str, stage: &str, code: &str, value: &[u8]) -> Append {
    let text = |text: &str| text.as_bytes().to_vec();
    let headers = [
        ("x-mine", text("kept")),
        (header::ERROR_STAGE, text(stage)),
        (header::ERROR_CODE, text(code)),
        (header::ERROR_MESSAGE, text("it went wrong")),
        (header::ORIGIN_TOPIC, text(&format!("{tenant}.q"))),
        (header::ORIGIN_PARTITION, text("0")),
        (header::ORIGIN_OFFSET, text("7")),
        (header::EVENT, text(event)),
        (header::ATTEMPTS, text("2")),
        (header::JOB, text("job")),
        (header::FUNCTION, text("f.wasm@00")),
    ];
    Append {
        topic: name::dead(tenant),
        key: Some(b"k".to_vec()),
        value: Some(value.to_vec()),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
