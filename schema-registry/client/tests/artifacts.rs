//! Modules, fetched once and checked each time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use jobico_catalog::artifact::path_in;
use jobico_catalog::{ArtifactError, Artifacts};
use jobico_event::Digest;
use tokio::task::JoinHandle;

const MODULE: &[u8] = b"a module";

/// A registry that sends `body` for every digest, and counts.
struct Registry {
    url: String,
    sent: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Registry {
    async fn sending(body: &'static [u8]) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let send = move |State(sent): State<Arc<AtomicUsize>>, Path(_): Path<String>| async move {
            sent.fetch_add(1, Ordering::SeqCst);
            body
        };
        let router = Router::new().route("/v1/artifacts/{digest}", get(send)).with_state(sent.clone());
        let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, sent, server }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
async fn a_module_is_fetched_once_and_then_read_from_the_cache() {
    let (registry, cache) = (Registry::sending(MODULE).await, tempfile::tempdir().unwrap());
    let artifacts = Artifacts::from_registry(&registry.url, cache.path().to_owned());
    let digest = Digest::of(MODULE);
    for _ in 0..3 {
        assert_eq!(artifacts.get(&digest).await.unwrap(), MODULE);
    }
    assert_eq!(registry.sent(), 1);
}

#[tokio::test]
async fn what_is_in_the_cache_works_while_the_registry_is_down() {
    let cache = tempfile::tempdir().unwrap();
    let digest = Digest::of(MODULE);
    let registry = Registry::sending(MODULE).await;
    let artifacts = Artifacts::from_registry(&registry.url, cache.path().to_owned());
    artifacts.get(&digest).await.unwrap();
    registry.server.abort();
    drop(registry);
    assert_eq!(artifacts.get(&digest).await.unwrap(), MODULE);
    let other = artifacts.get(&Digest::of(b"other")).await;
    assert!(matches!(other, Err(ArtifactError::Fetch { .. })), "{other:?}");
}

#[tokio::test]
async fn a_corrupt_cache_is_fetched_again() {
    let (registry, cache) = (Registry::sending(MODULE).await, tempfile::tempdir().unwrap());
    let artifacts = Artifacts::from_registry(&registry.url, cache.path().to_owned());
    let digest = Digest::of(MODULE);
    artifacts.get(&digest).await.unwrap();
    let file = path_in(cache.path(), &digest);
    std::fs::write(&file, b"a modul").unwrap();
    assert_eq!(artifacts.get(&digest).await.unwrap(), MODULE);
    assert_eq!((registry.sent(), std::fs::read(file).unwrap().as_slice()), (2, MODULE));
}

#[tokio::test]
async fn what_has_another_digest_is_neither_used_nor_kept() {
    let (registry, cache) = (Registry::sending(b"something else").await, tempfile::tempdir().unwrap());
    let artifacts = Artifacts::from_registry(&registry.url, cache.path().to_owned());
    let digest = Digest::of(MODULE);
    assert!(matches!(artifacts.get(&digest).await, Err(ArtifactError::Corrupt(of)) if of == digest));
    assert!(!path_in(cache.path(), &digest).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_whole_modules_and_leave_no_partial_files() {
    let (registry, cache) = (Registry::sending(MODULE).await, tempfile::tempdir().unwrap());
    let artifacts = Artifacts::from_registry(&registry.url, cache.path().to_owned());
    let digest = Digest::of(MODULE);
    let mut gets = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let artifacts = artifacts.clone();
        gets.spawn(async move { artifacts.get(&digest).await.unwrap() });
    }
    assert!(gets.join_all().await.iter().all(|bytes| bytes == MODULE));
    let folder = path_in(cache.path(), &digest).parent().unwrap().to_owned();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

#[tokio::test]
async fn a_registry_of_this_machine_is_read_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::in_folder(folder.path().to_owned());
    let digest = Digest::of(MODULE);
    assert!(matches!(artifacts.get(&digest).await, Err(ArtifactError::Io { .. })));
    jobico_catalog::artifact::store(folder.path(), &digest, MODULE).await.unwrap();
    assert_eq!(artifacts.get(&digest).await.unwrap(), MODULE);
}
