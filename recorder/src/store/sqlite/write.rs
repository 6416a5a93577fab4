//! The one thread that writes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::row::{LogRow, ResultRow, level_name, now_ms};
use crate::store::StoreError;

/// Batches that wait for the writer, at most: one each of results and logs is usual.
const QUEUE_MAX: usize = 16;
/// How often rows that have outlived their time are taken out. They are not read meanwhile.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Rows taken out in one transaction, so that batches do not wait long.
const SWEEP_ROWS_MAX: i64 = 5_000;

const RESULT: &str = "INSERT OR REPLACE INTO results
    (tenant, event, topic, partition, offset, idx, at, expires, job, function, status, code, data, attempts)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
const LOG: &str = "INSERT OR REPLACE INTO logs
    (tenant, at, topic, partition, offset, idx, expires, event, job, function, level, message)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// What is written in one transaction.
#[derive(Clone)]
pub(super) enum Job {
    /// Results.
    Results(Arc<[ResultRow]>),
    /// Logged lines.
    Logs(Arc<[LogRow]>),
}

type Request = (Job, oneshot::Sender<Result<(), rusqlite::Error>>);

/// The writer; its thread ends when this is dropped.
pub(super) struct Writer {
    queue: SyncSender<Request>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("sqlite-writer".to_owned());
        thread
            .spawn(move || run(connection, &requests))
            .map_err(|error| StoreError::new("start its thread")(error.into()))?;
        Ok(Self { queue })
    }

    /// Writes `job`; returns when it is on the disk.
    ///
    /// # Errors
    /// Nothing of it was written.
    pub(super) async fn submit(&self, job: Job) -> Result<(), StoreError> {
        let error = StoreError::new("write");
        let (done, outcome) = oneshot::channel();
        self.queue.try_send((job, done)).map_err(|_| error("its writer is busy or has ended".into()))?;
        outcome.await.map_err(|_| error("its writer has ended".into()))?.map_err(|source| error(source.into()))
    }
}

fn run(mut connection: Connection, requests: &Receiver<Request>) {
    let mut swept = Instant::now();
    loop {
        match requests.recv_timeout(SWEEP_INTERVAL.saturating_sub(swept.elapsed())) {
            // Nobody waits any more: the process stops.
            Ok((job, done)) => drop(done.send(write(&mut connection, &job))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if swept.elapsed() >= SWEEP_INTERVAL {
            match sweep(&connection, now_ms() / 1000) {
                // There is more: it goes on after the next batch, or at once where there is none.
                Ok(rows) if rows as i64 >= SWEEP_ROWS_MAX => {}
                Ok(_) => swept = Instant::now(),
                Err(error) => {
                    tracing::warn!(%error, "old rows could not be taken out; they are not shown, and tried again");
                    swept = Instant::now();
                }
            }
        }
    }
}

fn write(connection: &mut Connection, job: &Job) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    match job {
        Job::Results(rows) => {
            let mut insert = transaction.prepare_cached(RESULT)?;
            for row in rows.iter() {
                let key = &row.key;
                insert.execute(params![
                    row.tenant.as_str(),
                    row.event,
                    key.topic,
                    key.partition,
                    key.offset,
                    key.index,
                    key.at_ms,
                    row.expires_at_s,
                    row.job.as_str(),
                    row.function,
                    row.status.as_str(),
                    row.code.cast_signed(),
                    row.data.get(),
                    row.attempts,
                ])?;
            }
        }
        Job::Logs(rows) => {
            let mut insert = transaction.prepare_cached(LOG)?;
            for row in rows.iter() {
                let key = &row.key;
                insert.execute(params![
                    row.tenant.as_str(),
                    key.at_ms,
                    key.topic,
                    key.partition,
                    key.offset,
                    key.index,
                    row.expires_at_s,
                    row.event,
                    row.job.as_str(),
                    row.function,
                    level_name(row.level),
                    row.message,
                ])?;
            }
        }
    }
    transaction.commit()
}

/// Takes out rows that have outlived their time; says how many of the table with most.
fn sweep(connection: &Connection, now_s: i64) -> Result<usize, rusqlite::Error> {
    let mut most = 0;
    for table in ["results", "logs"] {
        let delete = format!(
            "DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE expires <= ?1 LIMIT {SWEEP_ROWS_MAX})"
        );
        most = most.max(connection.prepare_cached(&delete)?.execute([now_s])?);
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn a_sweep_takes_out_what_has_outlived_its_time_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = schema::open(&folder.path().join("r.sqlite")).unwrap();
        schema::migrate(&connection).unwrap();
        let row = |offset: i64, expires_at_s: i64| LogRow {
            tenant: jobico_event::TenantId::new("t").unwrap(),
            key: crate::row::Key { at_ms: 1, topic: "t.q".into(), partition: 0, offset, index: 0 },
            expires_at_s,
            event: "e".into(),
            job: jobico_event::JobId::new("j").unwrap(),
            function: "f".into(),
            level: jobico_event::function_log::Level::Info,
            message: "m".into(),
        };
        write(&mut connection, &Job::Logs([row(1, 10), row(2, 11), row(3, 12)].into())).unwrap();
        assert_eq!(sweep(&connection, 11).unwrap(), 2);
        let left: i64 = connection.query_row("SELECT offset FROM logs", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 3);
    }
}
