//! One process at a time: groups, fencing and offsets are kept in memory, which two processes do not share.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::{Cause, Class, Error};

const OPERATION: &str = "open the embedded log";
/// A process id has at most so many digits.
const PID_BYTES_MAX: u64 = 20;

/// An exclusive lock on a file beside the log. It is the kernel's: it ends with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Locks the log in the file `path`, after making its folder.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let failed = |error: std::io::Error| {
            Error::new(Class::Fatal, Cause::Denied, OPERATION, format!("cannot write to {}: {error}", folder.display()))
        };
        if path.is_dir() {
            let message = format!("{} is a folder; the log is a file in one", path.display());
            return Err(Error::new(Class::Fatal, Cause::Other, OPERATION, message));
        }
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(taken(&mut file, folder)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Only for the message of whoever comes second.
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Closing the file would not do: a process that another thread is just starting has it open, too, until its exec.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the data folder stays locked until the process ends");
        }
    }
}

fn taken(file: &mut File, folder: &Path) -> Error {
    let mut pid = String::new();
    let read = file.rewind().and_then(|()| file.take(PID_BYTES_MAX).read_to_string(&mut pid));
    let who = match (read, pid.parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    let message = format!(
        "{who} uses the data folder {}: one process at a time can. Stop it, or choose another folder with --data-dir",
        folder.display()
    );
    Error::new(Class::Fatal, Cause::Unavailable, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/log.sqlite");
        let first = Lock::take(&path).unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert!(error.message.contains(&format!("process {} uses", std::process::id())), "{error}");
        assert!(error.message.contains(folder.path().to_str().unwrap()), "{error}");
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_folder_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Lock::take(folder.path()).unwrap_err().message.contains("is a folder"));
    }
}
