//! TLS to the CQL store: the real store behind a proxy that speaks TLS.

use std::path::Path;
use std::sync::Arc;

use jobico_broker::Append;
use jobico_recorder::store::Store;
use jobico_recorder::store::cql::CqlStore;
use jobico_service::chain;

use crate::authority::{Signed, authority, file};
use crate::proxy::Proxy;
use crate::rows::result_record;
use crate::stage::{Ground, Keyspace, config, cql_address, embedded_log, eventually};

const HERE: &str = "127.0.0.1";

/// A store behind TLS, and the folder of a client's files.
struct Scene {
    folder: tempfile::TempDir,
    keyspace: Keyspace,
    proxy: Proxy,
    authority: Signed,
}

impl Scene {
    async fn new() -> Self {
        let authority = authority("the authority");
        let proxy = Proxy::tls(cql_address(), authority.sign("node", HERE).acceptor(None)).await;
        let folder = tempfile::tempdir().unwrap();
        authority.certificate_in(folder.path(), "ca.pem");
        Self { folder, keyspace: Keyspace::new(), proxy, authority }
    }

    fn path(&self, name: &str) -> String {
        path(self.folder.path(), name)
    }

    fn store(&self, flags: &[&str]) -> CqlStore {
        self.keyspace.store_with(&self.proxy.address.to_string(), flags)
    }
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

async fn why_not(store: CqlStore) -> String {
    chain(&store.check().await.unwrap_err())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_wait_while_the_certificate_is_not_trusted_and_are_written_over_tls_when_it_is() {
    let scene = Scene::new().await;
    scene.proxy.present(authority("a stranger").sign("node", HERE).acceptor(None));
    let store = Arc::new(scene.store(&["--cql-tls-ca", &scene.path("ca.pem")]));
    let folder = tempfile::tempdir().unwrap();
    let broker = embedded_log(folder.path().join("log.sqlite"));
    let ground = Ground::on(broker, store, None, None, folder).await;
    let recorder = ground.recorder(&[]).await;
    let records: Vec<Append> =
        (0..10).map(|offset| result_record(&ground.tenant, &format!("e{offset}"), offset, b"1")).collect();
    ground.append(records).await;
    eventually("readiness says why", || {
        let said = recorder.component("store");
        said.contains("(subject CN=node, issuer CN=a stranger)") && said.contains("--cql-tls-ca")
    })
    .await;
    assert!(!recorder.frame.health.is_ready());

    scene.proxy.present(scene.authority.sign("node", HERE).acceptor(None));
    eventually("ready", || recorder.frame.health.is_ready()).await;
    assert_eq!(recorder.await_results(&ground.tenant, 10).await.len(), 10);
    recorder.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_address_is_not_accepted() {
    let scene = Scene::new().await;
    scene.proxy.present(scene.authority.sign("node", "192.0.2.1").acceptor(None));
    // Also not where the contact point is a name that the certificate has: the driver knows addresses.
    let port = scene.proxy.address.port();
    for contact_point in [scene.proxy.address.to_string(), format!("localhost:{port}")] {
        let store = scene.keyspace.store_with(&contact_point, &["--cql-tls-ca", &scene.path("ca.pem")]);
        let said = why_not(store).await;
        assert!(said.contains("CN=node") && said.contains("subjectAltName of type IP"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_file_the_systems_authorities_are_trusted_and_no_other() {
    let scene = Scene::new().await;
    let said = why_not(scene.store(&["--cql-tls"])).await;
    assert!(said.contains("this system does not trust its authority"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_asks_for_a_certificate_is_shown_one() {
    let scene = Scene::new().await;
    scene.proxy.present(scene.authority.sign("node", HERE).acceptor(Some(&scene.authority)));
    let client = scene.authority.sign("recorder", HERE);
    client.certificate_in(scene.folder.path(), "cert.pem");
    client.key_in(scene.folder.path(), "key.pem");
    let (ca, cert, key) = (scene.path("ca.pem"), scene.path("cert.pem"), scene.path("key.pem"));
    let said = why_not(scene.store(&["--cql-tls-ca", &ca])).await;
    assert!(said.contains("one that wants a certificate, or another, does so: --cql-tls-cert"), "{said}");
    let store = scene.store(&["--cql-tls-ca", &ca, "--cql-tls-cert", &cert, "--cql-tls-key", &key]);
    store.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_only_one_side_speaks_tls_the_error_says_which() {
    let scene = Scene::new().await;
    let said = why_not(scene.store(&[])).await;
    assert!(said.contains("one that wants TLS does so: name its authority with --cql-tls-ca"), "{said}");
    let said = why_not(scene.keyspace.store_with(&cql_address(), &["--cql-tls-ca", &scene.path("ca.pem")])).await;
    assert!(said.contains("a node answers without TLS"), "{said}");
}

#[test]
fn files_that_are_wrong_are_named_with_what_is_wrong_and_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (authority, other) = (authority("the authority"), authority("another"));
    let ca = authority.certificate_in(folder, "ca.pem");
    let cert = authority.sign("recorder", HERE).certificate_in(folder, "cert.pem");
    let key = other.key_in(folder, "other-key.pem");
    let damaged = String::from_utf8(authority.certificate.to_pem().unwrap()).unwrap().replace("\nMII", "\nAAA");
    let damaged = file(folder, "damaged.pem", damaged);
    let text = file(folder, "text.pem", "no PEM at all");
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let locked = other.key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
    let locked = file(folder, "locked.pem", locked);
    let missing = folder.join("missing.pem");

    let complaint = |ca: &Path, pair: Option<(&Path, &Path)>| {
        let mut flags = vec!["--cql-tls-ca", ca.to_str().unwrap()];
        if let Some((cert, key)) = pair {
            flags.extend(["--cql-tls-cert", cert.to_str().unwrap(), "--cql-tls-key", key.to_str().unwrap()]);
        }
        CqlStore::new("localhost:9042", config(&flags).cql).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let begins = |said: &str, flag: &str, path: &Path, what: &str| {
        assert!(said.starts_with(&format!("{flag} {}: {what}", path.display())), "{said}");
    };
    begins(&complaint(&missing, None), "--cql-tls-ca", &missing, "cannot be read (No such file");
    begins(&complaint(&text, None), "--cql-tls-ca", &text, "holds no certificate");
    begins(&complaint(&damaged, None), "--cql-tls-ca", &damaged, "holds a damaged certificate");
    begins(&complaint(&ca, Some((&cert, &text))), "--cql-tls-key", &text, "holds no private key");
    begins(&complaint(&ca, Some((&cert, &locked))), "--cql-tls-key", &locked, "is protected by a passphrase");
    begins(&complaint(&ca, Some((&cert, &key))), "--cql-tls-key", &key, "is not the key of the first certificate");
    let all = complaint(&missing, Some((&text, &missing)));
    for flag in ["--cql-tls-ca", "--cql-tls-cert", "--cql-tls-key"] {
        assert!(all.contains(&format!("{flag} /")), "{all}");
    }
}
