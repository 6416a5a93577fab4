//! Modules by their digest, in an object store: a folder of this machine.
//!
//! The layout is that of [`jobico_catalog::artifact::path_in`], so that a process on the same machine reads the folder
//! itself. What is read is held against its digest before it is sent: a registry never passes a broken module on.

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use jobico_event::Digest;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// Where modules are kept. Clones are the same.
#[derive(Debug, Clone)]
pub struct Store(Arc<dyn ObjectStore>);

/// Why a module cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the artifact store does not {operation} {digest}")]
    Store {
        /// What was tried.
        operation: &'static str,
        /// The module.
        digest: Digest,
        /// Why it failed.
        #[source]
        source: object_store::Error,
    },
    /// What is kept has another digest than its name.
    #[error("artifact {0} is kept with other bytes than its digest says; upload the module again to mend it")]
    Corrupt(Digest),
}

impl Store {
    /// A store in a folder, which is made where it is missing. Writes are atomic, and durable when they return.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn in_folder(folder: &FilePath) -> Result<Self, object_store::Error> {
        std::fs::create_dir_all(folder)
            .map_err(|source| object_store::Error::Generic { store: "artifacts", source: Box::new(source) })?;
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))))
    }

    /// Keeps a module. One that is kept already is written again, which mends it where it was broken.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<(), Error> {
        let put = self.0.put(&path(digest), bytes.into()).await;
        put.map(drop).map_err(|source| Error::Store { operation: "keep", digest: *digest, source })
    }

    /// A module; none where it is not kept.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let failed = |source| Error::Store { operation: "give", digest: *digest, source };
        let bytes = match self.0.get(&path(digest)).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if Digest::of(&bytes) == *digest { Ok(Some(bytes)) } else { Err(Error::Corrupt(*digest)) }
    }
}

/// Two digits of the digest, then all of it.
fn path(digest: &Digest) -> Path {
    let name = digest.to_string();
    Path::from(format!("{}/{name}", &name[..2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_folder_is_laid_out_as_other_processes_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, bytes) = (Store::in_folder(folder.path()).unwrap(), Bytes::from_static(b"module"));
        let digest = Digest::of(&bytes);
        assert_eq!(store.get(&digest).await.unwrap(), None);
        store.put(&digest, bytes.clone()).await.unwrap();
        let file = jobico_catalog::artifact::path_in(folder.path(), &digest);
        assert_eq!(std::fs::read(&file).unwrap(), bytes);
        assert_eq!(store.get(&digest).await.unwrap(), Some(bytes.clone()));

        std::fs::write(&file, b"modulf").unwrap();
        assert!(matches!(store.get(&digest).await, Err(Error::Corrupt(_))));
        store.put(&digest, bytes.clone()).await.unwrap();
        assert_eq!(store.get(&digest).await.unwrap(), Some(bytes));
    }
}
