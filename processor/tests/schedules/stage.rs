//! What all schedules share: the jobs, and their functions compiled.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jobico_catalog::{Artifacts, artifact};
use jobico_event::catalog::{Active, Document, FunctionPin, JobVersion, Queue, Route, Tenant};
use jobico_event::retry::{self, Retry, Tier};
use jobico_event::snapshot::{Catalog, Snapshot};
use jobico_event::{Digest, EventId, FileName, JobId, QueueId, RuntimeId, TenantId, name};
use jobico_processor::config::Limits;
use jobico_processor::library::{Library, Lookup};
use jobico_processor::metrics::Metrics;
use jobico_service::Frame;

use super::{OTHER, POOL};
use crate::functions::{binary, compiler, limits};

/// The stage.
pub(super) struct Stage {
    pub(super) library: Library,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) frame: Frame,
    /// Each with the catalog before its queues were moved, with them in [`super::OTHER`], and with them back again.
    pub(super) jobs: Vec<(Retry, [Arc<Snapshot>; 3])>,
    pub(super) tenant: TenantId,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The longest call is beyond what a loaded machine makes of a short one: a deadline is real time.
        let limits = Limits { instances: 256, memory_bytes: 1 << 20, call: Duration::from_secs(60), ..limits() };
        let metrics = Metrics::register(&prometheus::Registry::new(), POOL).unwrap();
        let artifacts = Artifacts::in_folder(folder.path().to_owned());
        // Two threads with two workers and their twins each, which keep three instances at most.
        let library = Library::new(&limits, 16, artifacts, folder.path(), compiler(), metrics.clone()).unwrap();
        let tenant = TenantId::new("t").unwrap();
        let key = retry::Ordering::Key;
        let policies = [
            Retry { attempts: 1, ..Retry::default() },
            Retry { attempts: 3, tiers: vec![Tier::S1, Tier::S10], ordering: retry::Ordering::None },
            Retry { attempts: 2, tiers: vec![Tier::S1], ordering: key },
        ];
        let mut jobs = Vec::new();
        for policy in policies.clone() {
            jobs.push((policy.clone(), catalogs(&tenant, policy, None, folder.path()).await));
        }
        // So little that some dozen events use its burst up.
        for policy in policies {
            jobs.push((policy.clone(), catalogs(&tenant, policy, Some(1), folder.path()).await));
        }
        for module in ["trap_when.wat", "echo.wat", "log.wat"] {
            while !matches!(library.look_up(&tenant, &Digest::of(&binary(module))), Lookup::Ready(_)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Self { library, limits, metrics, frame: Frame::new(Duration::from_secs(1)), jobs, tenant }
    }

    pub(super) fn topic(&self, queue: &str) -> String {
        name::queue(&self.tenant, &QueueId::new(queue).unwrap())
    }
}

/// Three queues: `q1` traps where there is a '!', and hands on to `q2`; `q3` logs.
pub(super) async fn catalogs(
    tenant: &TenantId,
    retry: Retry,
    quota_ms_per_s: Option<u32>,
    artifacts: &Path,
) -> [Arc<Snapshot>; 3] {
    let mut catalog = Catalog::default();
    let now = String::new;
    catalog.insert(Document::Tenant(Tenant { quota_ms_per_s, ..Tenant::new(tenant.clone(), now()) }));
    let mut routes = Vec::new();
    for (event, queue, module, ok) in [
        ("first", "q1", "trap_when.wat", Some("second")),
        ("second", "q2", "echo.wat", None),
        ("third", "q3", "log.wat", None),
    ] {
        let binary = binary(module);
        let digest = Digest::of(&binary);
        artifact::store(artifacts, &digest, &binary).await.unwrap();
        routes.push(Route {
            event: EventId::new(event).unwrap(),
            queue: QueueId::new(queue).unwrap(),
            schema: None,
            function: FunctionPin {
                runtime: RuntimeId::new("r").unwrap(),
                name: FileName::new("f.wasm").unwrap(),
                digest,
                main: "event".to_owned(),
            },
            ok: ok.map(|event| EventId::new(event).unwrap()),
            error: None,
            key: None,
            timeout_ms: None,
        });
    }
    let job = JobId::new("job").unwrap();
    [(1, POOL), (2, OTHER), (3, POOL)].map(|(version, pool)| {
        let queue = |queue| Queue {
            queue: QueueId::new(queue).unwrap(),
            pool: pool.to_owned(),
            pools: Vec::new(),
            partitions: None,
        };
        catalog.insert(Document::Job(JobVersion {
            tenant: tenant.clone(),
            job: job.clone(),
            version,
            replaces: None,
            name: None,
            deployed_at: now(),
            queues: ["q1", "q2", "q3"].map(queue).into(),
            routes: routes.clone(),
            retry: retry.clone(),
            source: String::new(),
        }));
        catalog.insert(Document::Active(Active { tenant: tenant.clone(), job: job.clone(), version, since: now() }));
        Arc::new(catalog.snapshot())
    })
}
