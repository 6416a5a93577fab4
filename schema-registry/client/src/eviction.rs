//! Keeps a folder of artifacts within its limit.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jobico_event::Digest;

/// Down to which share of the limit a folder is cleared: not for every new module anew.
const KEPT: (u64, u64) = (3, 4);

/// Removes the artifacts that were written first, where together they have more than `bytes_max`. Files that are none are
/// left alone and not counted.
///
/// # Errors
/// The folder cannot be read, or a file not removed.
pub fn evict(folder: &Path, bytes_max: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for group in std::fs::read_dir(folder)? {
        let group = group?;
        if group.file_type()?.is_dir() {
            list(&group.path(), &mut files)?;
        }
    }
    let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
    if bytes <= bytes_max {
        return Ok(());
    }
    files.sort();
    let kept = bytes_max / KEPT.1 * KEPT.0;
    for (_, length, path) in files {
        if bytes <= kept {
            break;
        }
        std::fs::remove_file(path)?;
        bytes -= length;
    }
    Ok(())
}

/// The artifacts of a folder: when each was written, and how many bytes it has.
fn list(folder: &Path, files: &mut Vec<(SystemTime, u64, PathBuf)>) -> io::Result<()> {
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let is_artifact = file.file_name().to_str().is_some_and(|name| name.parse::<Digest>().is_ok());
        if is_artifact {
            let about = file.metadata()?;
            files.push((about.modified()?, about.len(), file.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::artifact::{path_in, store};

    #[tokio::test]
    async fn the_oldest_artifacts_go_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<Digest> = (0..8u8).map(|index| Digest::of(&[index])).collect();
        for (index, digest) in (0..).zip(&digests) {
            store(folder.path(), digest, &[0; 100]).await.unwrap();
            let file = std::fs::File::options().append(true).open(path_in(folder.path(), digest)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(index)).unwrap();
        }
        let other = path_in(folder.path(), &digests[0]).with_extension("compiled");
        std::fs::write(&other, [0; 1_000]).unwrap();
        let there = || digests.iter().map(|digest| path_in(folder.path(), digest).exists()).collect::<Vec<_>>();

        evict(folder.path(), 800).unwrap();
        assert_eq!(there(), [true; 8]);
        evict(folder.path(), 799).unwrap();
        assert_eq!(there(), [false, false, false, true, true, true, true, true]);
        assert!(other.exists());
    }
}
