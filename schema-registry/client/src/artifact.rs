//! Modules by their digest: from this machine's cache, else from where the registry keeps them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jobico_event::Digest;
use jobico_event::contract::MODULE_BYTES_MAX;

use crate::eviction;

/// Bytes of modules that a cache keeps (4 GiB: thousands of them). Those that were fetched first go first; one that is
/// wanted again is fetched again.
pub const CACHE_BYTES_MAX: u64 = 4 << 30;
/// How long the registry may take to send a module.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Where modules come from. Every byte is checked against the digest before it is used.
#[derive(Debug, Clone)]
pub struct Artifacts {
    cache: PathBuf,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    /// A registry in this process keeps them in this folder.
    Folder(PathBuf),
    /// A registry elsewhere serves them.
    Registry { url: String, client: reqwest::Client },
}

/// Why a module cannot be had. All but [`ArtifactError::Corrupt`] may pass.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The cache or the folder cannot be read or written.
    #[error("{path}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The registry did not send it.
    #[error("the registry at {url} does not send artifact {digest}")]
    Fetch {
        /// The registry.
        url: String,
        /// The artifact.
        digest: Digest,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// What came is not what was asked for.
    #[error("what was read as artifact {0} has another digest; it is not used")]
    Corrupt(Digest),
}

/// The file of an artifact below a folder: two digits of the digest, then all of it.
#[must_use]
pub fn path_in(folder: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    folder.join(&name[..2]).join(name)
}

impl Artifacts {
    /// Modules that a registry of this machine keeps in `folder`.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { cache: folder.clone(), origin: Origin::Folder(folder) }
    }

    /// Modules that the registry at `url` serves, kept in `cache`.
    #[must_use]
    pub fn from_registry(url: &str, cache: PathBuf) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { cache, origin: Origin::Registry { url, client: reqwest::Client::new() } }
    }

    /// The bytes of an artifact.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub async fn get(&self, digest: &Digest) -> Result<Vec<u8>, ArtifactError> {
        if let Some(bytes) = read_verified(&path_in(&self.cache, digest), digest).await? {
            return Ok(bytes);
        }
        match &self.origin {
            Origin::Folder(folder) => Err(ArtifactError::Io {
                path: path_in(folder, digest),
                source: std::io::Error::from(std::io::ErrorKind::NotFound),
            }),
            Origin::Registry { url, client } => {
                let bytes = fetch(client, url, digest).await?;
                if Digest::of(&bytes) != *digest {
                    return Err(ArtifactError::Corrupt(*digest));
                }
                store(&self.cache, digest, &bytes).await?;
                make_room(&self.cache).await;
                Ok(bytes)
            }
        }
    }
}

/// Reads a module from the registry, and no more than a module can have.
async fn fetch(client: &reqwest::Client, url: &str, digest: &Digest) -> Result<Vec<u8>, ArtifactError> {
    let error = |source| ArtifactError::Fetch { url: url.to_owned(), digest: *digest, source };
    let request = client.get(format!("{url}/v1/artifacts/{digest}")).timeout(FETCH_TIMEOUT);
    let mut response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(error)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(error)? {
        if bytes.len() + chunk.len() > MODULE_BYTES_MAX {
            return Err(ArtifactError::Corrupt(*digest));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Keeps the cache within its limit. Where that fails there is more on the disk than there should be, and nothing is lost.
async fn make_room(cache: &Path) {
    let folder = cache.to_owned();
    let evicted = tokio::task::spawn_blocking(move || eviction::evict(&folder, CACHE_BYTES_MAX)).await;
    if let Err(error) = evicted.map_err(std::io::Error::other).flatten() {
        tracing::warn!(%error, cache = %cache.display(), "the cache of modules could not be cleared");
    }
}

/// The file's bytes where they have the digest; a file that does not is passed over, to be fetched again.
async fn read_verified(path: &Path, digest: &Digest) -> Result<Option<Vec<u8>>, ArtifactError> {
    match tokio::fs::read(path).await {
        Ok(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes)),
        Ok(_) => {
            tracing::warn!(path = %path.display(), "a kept artifact has another digest than its name; it is fetched again");
            Ok(None)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ArtifactError::Io { path: path.to_owned(), source }),
    }
}

/// Writes an artifact so that it is there whole or not at all, and stays there when the machine fails. Several may write
/// the same one at a time.
///
/// # Errors
/// [`ArtifactError::Io`].
pub async fn store(folder: &Path, digest: &Digest, bytes: &[u8]) -> Result<(), ArtifactError> {
    let (path, bytes) = (path_in(folder, digest), bytes.to_vec());
    let folder = path.parent().unwrap_or(folder).to_owned();
    let target = path.clone();
    let write = move || {
        std::fs::create_dir_all(&folder)?;
        // A name of its own for each writer, removed with the value where the write fails.
        let mut partial = tempfile::Builder::new().prefix(".partial-").tempfile_in(&folder)?;
        partial.write_all(&bytes)?;
        partial.as_file().sync_all()?;
        partial.persist(&target)?;
        std::fs::File::open(&folder)?.sync_all()
    };
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(std::io::Error::other).flatten().map_err(|source| ArtifactError::Io { path, source })
}
