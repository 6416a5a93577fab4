//! Modules by their digest.

use jobico_event::Digest;
use reqwest::Method;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::fixture::{Registry, World, module};

async fn get(
    registry: &Registry,
    path: &str,
    headers: &[(reqwest::header::HeaderName, &str)],
) -> (u16, HeaderMap, Vec<u8>) {
    let mut request = registry.request(Method::GET, path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.bytes().await.unwrap().to_vec())
}

pub async fn a_module_is_given_whole_in_part_or_not_at_all(world: &World) {
    let registry = world.registry().await;
    let bytes = module("");
    registry.put("/v1/tenants/t/functions/f", bytes.clone()).await.expect(201);
    let digest = Digest::of(&bytes);
    let (path, tag) = (format!("/v1/artifacts/{digest}"), format!("\"{digest}\""));

    let (status, headers, body) = get(&registry, &path, &[]).await;
    assert_eq!((status, headers[ETAG].to_str().unwrap(), &body), (200, tag.as_str(), &bytes));
    assert_eq!(headers["content-type"], "application/wasm");
    let (status, headers, body) = get(&registry, &path, &[(IF_NONE_MATCH, &tag)]).await;
    assert_eq!((status, headers[ETAG].to_str().unwrap(), body.len()), (304, tag.as_str(), 0));
    assert_eq!(get(&registry, &path, &[(IF_NONE_MATCH, "\"other\"")]).await.0, 200);

    let (status, headers, body) = get(&registry, &path, &[(RANGE, "bytes=4-7")]).await;
    assert_eq!((status, body.as_slice()), (206, &bytes[4..8]));
    assert_eq!(headers[CONTENT_RANGE], format!("bytes 4-7/{}", bytes.len()).as_str());
    assert_eq!(get(&registry, &path, &[(RANGE, "bytes=-3")]).await.2, bytes[bytes.len() - 3..]);
    let (status, headers, _) = get(&registry, &path, &[(RANGE, "bytes=1000000-")]).await;
    assert_eq!((status, headers[CONTENT_RANGE].to_str().unwrap()), (416, format!("bytes */{}", bytes.len()).as_str()));
    let other = [(RANGE, "bytes=4-7"), (IF_RANGE, "\"other\"")];
    assert_eq!(get(&registry, &path, &other).await.0, 200, "a part of something else is of no use");

    let none = Digest::of(b"none");
    registry.get(&format!("/v1/artifacts/{none}")).await.problem(404);
    registry.get("/v1/artifacts/abc").await.problem(400);

    // A process of this machine reads the folder, another one asks the registry.
    let (here, cache) = (registry.artifacts.clone(), tempfile::tempdir().unwrap());
    assert_eq!(jobico_catalog::Artifacts::in_folder(here).get(&digest).await.unwrap(), bytes);
    let url = format!("http://{}", registry.address());
    let elsewhere = jobico_catalog::Artifacts::from_registry(&url, cache.path().to_owned());
    assert_eq!(elsewhere.get(&digest).await.unwrap(), bytes);
}

pub async fn a_module_that_is_broken_on_disk_is_not_given(world: &World) {
    let registry = world.registry().await;
    let bytes = module("");
    registry.put("/v1/tenants/t/functions/f", bytes.clone()).await.expect(201);
    let digest = Digest::of(&bytes);
    std::fs::write(jobico_catalog::artifact::path_in(&registry.artifacts, &digest), b"broken").unwrap();
    let path = format!("/v1/artifacts/{digest}");
    assert!(registry.get(&path).await.problem(500).contains("upload the module again"));
    registry.put("/v1/tenants/t/functions/f", bytes.clone()).await.expect(200);
    assert_eq!(get(&registry, &path, &[]).await.2, bytes, "uploading it again mends it");
}
