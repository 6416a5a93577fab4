//! A store that goes away: nothing is lost, readiness says so, and it says so when it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use jobico_broker::Append;
use jobico_event::TenantId;
use jobico_event::function_log::Line;
use jobico_event::result::View;
use jobico_recorder::row::{LogRow, ResultRow};
use jobico_recorder::store::{LogFilter, Page, PageRequest, ResultFilter, Store, StoreError};

use crate::proxy::Proxy;
use crate::rows::result_record;
use crate::stage::{Ground, Keyspace, cql_address, eventually};

/// A store whose writes fail while it is told so.
struct Failing {
    inner: Arc<dyn Store>,
    down: AtomicBool,
    refused: AtomicUsize,
}

impl Failing {
    fn refuse(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::new("write")("the disk is full".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Failing {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }
    async fn write_results(&self, rows: Arc<[ResultRow]>) -> Result<(), StoreError> {
        // Half of the batch is written, as a store may that breaks off.
        let half = rows[..rows.len() / 2].into();
        self.inner.write_results(half).await?;
        self.refuse()?;
        self.inner.write_results(rows).await
    }
    async fn write_logs(&self, rows: Arc<[LogRow]>) -> Result<(), StoreError> {
        self.refuse()?;
        self.inner.write_logs(rows).await
    }
    async fn results_of_event(
        &self,
        tenant: &TenantId,
        event: &str,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError> {
        self.inner.results_of_event(tenant, event, page).await
    }
    async fn results(
        &self,
        tenant: &TenantId,
        filter: &ResultFilter,
        page: &PageRequest,
    ) -> Result<Page<View>, StoreError> {
        self.inner.results(tenant, filter, page).await
    }
    async fn logs(&self, tenant: &TenantId, filter: &LogFilter, page: &PageRequest) -> Result<Page<Line>, StoreError> {
        self.inner.logs(tenant, filter, page).await
    }
}

fn results(tenant: &TenantId, offsets: std::ops::Range<i64>) -> Vec<Append> {
    offsets.map(|offset| result_record(tenant, &format!("e{offset}"), offset, b"1")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_writes_fail_the_batch_waits_and_readiness_says_why() {
    let ground = Ground::embedded().await;
    let store = Arc::new(Failing { inner: ground.store.clone(), down: false.into(), refused: 0.into() });
    let recorder = ground.recorder_with(&[], store.clone(), ground.catalog()).await;
    ground.append(results(&ground.tenant, 0..10)).await;
    recorder.await_results(&ground.tenant, 10).await;
    eventually("ready at first", || recorder.frame.health.is_ready()).await;

    store.down.store(true, Ordering::SeqCst);
    ground.append(results(&ground.tenant, 10..20)).await;
    eventually("several attempts", || store.refused.load(Ordering::SeqCst) >= 3).await;
    ground.append(results(&ground.tenant, 20..30)).await;
    assert_eq!(recorder.component("store"), "the store cannot write: the disk is full");
    assert!(!recorder.frame.health.is_ready());
    assert!(recorder.results(&ground.tenant).await.len() < 20, "reads go on, with what there is");

    store.down.store(false, Ordering::SeqCst);
    assert_eq!(recorder.await_results(&ground.tenant, 30).await.len(), 30);
    eventually("ready again", || recorder.frame.health.is_ready()).await;
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_stops_while_writes_fail_leaves_the_batch_to_the_next() {
    let ground = Ground::embedded().await;
    let store = Arc::new(Failing { inner: ground.store.clone(), down: true.into(), refused: 0.into() });
    let recorder = ground.recorder_with(&[], store.clone(), ground.catalog()).await;
    ground.append(results(&ground.tenant, 0..10)).await;
    eventually("an attempt", || store.refused.load(Ordering::SeqCst) >= 1).await;
    recorder.end().await;
    let next = ground.recorder(&[]).await;
    assert_eq!(next.await_results(&ground.tenant, 10).await.len(), 10);
    next.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cql_store_that_is_away_at_the_start_and_later_delays_and_loses_nothing() {
    let proxy = Proxy::cut(cql_address()).await;
    let keyspace = Keyspace::new();
    let store = Arc::new(keyspace.store(&proxy.address.to_string()));
    let ground = Ground::on_kafka(store, Some(keyspace)).await;
    // It starts all the same.
    let recorder = ground.recorder(&[]).await;
    ground.append(results(&ground.tenant, 0..10)).await;
    eventually("the store is missed", || recorder.component("store").contains("cannot be connected to")).await;
    let (status, problem) = recorder.get(&format!("/v1/tenants/{}/results", ground.tenant)).await;
    assert_eq!((status, problem["title"].as_str()), (503, Some("Service Unavailable")));

    proxy.restore();
    eventually("ready", || recorder.frame.health.is_ready()).await;
    assert_eq!(recorder.await_results(&ground.tenant, 10).await.len(), 10);

    proxy.break_off();
    ground.append(results(&ground.tenant, 10..200)).await;
    eventually("the store is missed again", || recorder.component("store").starts_with("the store cannot")).await;

    proxy.restore();
    assert_eq!(await_all(&recorder, &ground.tenant, 200).await, 200);
    eventually("ready again", || recorder.frame.health.is_ready()).await;
    recorder.end().await;
}

/// Waits until a tenant has so many results; the store may not answer meanwhile.
async fn await_all(recorder: &crate::stage::Recorder, tenant: &TenantId, count: usize) -> usize {
    let until = std::time::Instant::now() + crate::stage::PATIENCE;
    loop {
        let (status, body) = recorder.get(&format!("/v1/tenants/{tenant}/results?limit=1000")).await;
        let found = body["results"].as_array().map_or(0, Vec::len);
        if status == 200 && found >= count {
            return found;
        }
        assert!(std::time::Instant::now() < until, "{status} {found} of {count}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
