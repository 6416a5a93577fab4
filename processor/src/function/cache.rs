//! Compiled modules on disk, so that a start compiles nothing that was compiled before.
//!
//! ```text
//! {data-dir}/compiled/ (0700)   {module's digest}-{engine's key, 16 digits} (0600)   .partial-… while it is written
//! ```
//!
//! A cache is allowed to lose: whatever is wrong with a file, the module is compiled again and the file replaced. Several
//! processes may share a folder; each file is written beside its place and moved there whole.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use jobico_event::Digest;

use super::artifact;
use super::engine::Engine;
use super::module::Module;

/// The folder below a process' data folder.
pub const FOLDER: &str = "compiled";
/// The largest file that is read, bytes. Compiled code is some three times its module, whose limit is 32 MiB.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Down to which share of its limit the folder is cleared: not for every new file anew.
const KEPT: (u64, u64) = (3, 4);
/// How files begin that are being written.
const PARTIAL: &str = ".partial-";
/// After this long nobody writes at such a file any more: its process was killed.
const PARTIAL_AGE_MAX: Duration = Duration::from_secs(3600);
/// Permission bits with which others than the owner may write.
const OTHERS_WRITE: u32 = 0o022;

/// The cache.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    bytes_max: u64,
    /// What there was when it was counted last, and what has been written since.
    bytes: AtomicU64,
    engine: Engine,
    key: Digest,
    /// The user this process runs as.
    user: u32,
}

/// What the cache has of a module.
#[derive(Debug)]
pub enum Found {
    /// The module, ready to be instantiated.
    Hit(Module),
    /// Nothing.
    Missing,
    /// A file that is not used: damaged, of another module, or not safely this user's own.
    Unusable,
}

struct Entry {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Cache {
    /// The cache in `folder`, which is made where it is missing and closed to others. It keeps at most `bytes_max` bytes.
    ///
    /// # Errors
    /// The folder cannot be made or closed, or it belongs to another user.
    pub fn open(folder: &Path, bytes_max: u64, engine: &Engine) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let user = rustix::process::geteuid().as_raw();
        if folder.metadata()?.uid() != user {
            let message = format!("it belongs to another user than this process' ({user})");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let key = artifact::engine_key(&engine.wasm);
        let bytes = AtomicU64::new(0);
        let cache = Self { folder: folder.to_owned(), bytes_max, bytes, engine: engine.clone(), key, user };
        cache.sweep()?;
        Ok(cache)
    }

    /// The file of a module.
    #[must_use]
    pub fn path(&self, module: &Digest) -> PathBuf {
        self.folder.join(format!("{module}-{}", &self.key.to_string()[..16]))
    }

    /// Whether there is a file for a module, whatever is in it. It blocks.
    #[must_use]
    pub fn has(&self, module: &Digest) -> bool {
        self.path(module).exists()
    }

    /// The compiled module, where it was kept. It blocks.
    #[must_use]
    pub fn load(&self, module: &Digest) -> Found {
        let bytes = match self.read(&self.path(module)) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Found::Unusable,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
            Err(error) => {
                tracing::warn!(%module, %error, "a compiled module cannot be read; it is compiled again");
                return Found::Unusable;
            }
        };
        let opened = artifact::open(&self.engine, &self.key, module, &bytes);
        match opened.map(|compiled| compiled.and_then(|compiled| Module::link(&self.engine, &compiled))) {
            Some(Ok(module)) => Found::Hit(module),
            Some(Err(_)) | None => {
                tracing::warn!(%module, "a file in the cache of compiled modules is damaged; the module is compiled again");
                Found::Unusable
            }
        }
    }

    /// The file's bytes, and a note that it was used; none where it is not safely this user's own.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut file = File::open(path)?;
        let about = file.metadata()?;
        if !self.is_own(&about) || about.len() > FILE_BYTES_MAX {
            tracing::warn!(path = %path.display(), "a file in the cache of compiled modules is not used: others may write to it");
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        // Where it fails this file is taken for older than it is.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(bytes))
    }

    fn is_own(&self, about: &Metadata) -> bool {
        about.is_file() && about.uid() == self.user && about.mode() & OTHERS_WRITE == 0
    }

    /// Keeps a compiled module, as [`Module::seal`] or [`super::module::compile_apart`] gave it. It blocks, until the file is safe
    /// on the disk.
    ///
    /// # Errors
    /// It cannot be written; a file that was there before stays.
    pub fn keep(&self, module: &Digest, sealed: &[u8]) -> io::Result<()> {
        // A name of its own for each writer and mode 0600; it goes with the value where the write fails.
        let mut partial = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&self.folder)?;
        partial.write_all(sealed)?;
        partial.as_file().sync_all()?;
        partial.persist(self.path(module))?;
        File::open(&self.folder)?.sync_all()?;
        let written = sealed.len() as u64;
        if self.bytes.fetch_add(written, Ordering::Relaxed) + written > self.bytes_max {
            self.sweep()?;
        }
        Ok(())
    }

    /// Removes what was not used for the longest time, where there is more than the limit, and what killed processes left.
    fn sweep(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for file in std::fs::read_dir(&self.folder)? {
            let file = file?;
            let Ok(about) = file.metadata() else { continue }; // another process removed it just now
            let (used, name) = (about.modified()?, file.file_name());
            let name = name.to_string_lossy();
            if name.starts_with(PARTIAL) {
                if used.elapsed().is_ok_and(|age| age > PARTIAL_AGE_MAX) {
                    remove(&file.path())?;
                }
            } else if is_entry(&name) {
                entries.push(Entry { used, bytes: about.len(), path: file.path() });
            }
        }
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        if bytes > self.bytes_max {
            entries.sort_unstable_by_key(|entry| entry.used);
            for entry in entries {
                if bytes <= self.bytes_max / KEPT.1 * KEPT.0 {
                    break;
                }
                remove(&entry.path)?;
                bytes -= entry.bytes;
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether a file has the name of a compiled module. Others are let be.
fn is_entry(name: &str) -> bool {
    name.split_once('-').is_some_and(|(module, key)| module.parse::<Digest>().is_ok() && key.len() == 16)
}

/// Removes a file that another process may have removed already.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
