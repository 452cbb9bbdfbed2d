use std::io::{self, ErrorKind::NotFound};
use std::path::{Path, PathBuf};
use std::{ffi::c_int, fs, time::Duration};

use rusqlite::{Connection, Error as Failed, ErrorCode, Result, ffi};

/// A file's device and inode, or `None` if they can't be read, usually because there is no file.
type Id = Option<(u64, u64)>;

/// The files of an open database. SQLite finds `-wal` and `-shm` by name, so they can be missing or
/// be left over from a main file that was replaced.
pub(crate) struct Files {
    path: PathBuf,
    main: Id,
    /// The main file's path with links resolved. The other files are in the same directory.
    target: PathBuf,
    others: [Id; 2],
}

impl Files {
    /// Opens the file and creates it if it is missing. Calls `prepare` before a connection reads
    /// the file.
    ///
    /// If `-wal` or `-shm` is missing, fails while the file is locked. A connection that still uses
    /// a removed `-wal` or `-shm` keeps the file locked. A new `-wal` or `-shm` beside the removed
    /// one could corrupt the database.
    pub(crate) fn open(
        path: &Path,
        prepare: impl Fn(&mut Connection) -> Result<()>,
    ) -> Result<(Self, Connection)> {
        // This creates the file. If the file is replaced between `identify` and the second `open`
        // below, the session ends.
        let mut first = Connection::open(path)?;
        if !others(&path.canonicalize().unwrap_or_default()).iter().all(|path| path.exists()) {
            first.busy_timeout(Duration::ZERO)?;
            first.pragma_update(None, "locking_mode", "exclusive")?;
            let read = prepare(&mut first)
                .and_then(|()| first.busy_timeout(Duration::ZERO))
                .and_then(|()| first.execute_batch("select 1 from sqlite_schema"));
            // Any other error occurs again with the second connection.
            if read.is_err_and(|it| it.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)) {
                let reason = "the file is locked, or a program uses its removed -wal or -shm";
                return Err(failure(ffi::SQLITE_BUSY, reason));
            }
        }
        drop(first);
        let (main, mut connection) = (identify(path).ok(), Connection::open(path)?);
        prepare(&mut connection)?;
        let target = path.canonicalize().unwrap_or_default();
        Ok((Self { path: path.to_owned(), main, target, others: [None; 2] }, connection))
    }

    /// Records which `-wal` and `-shm` the connection has opened.
    pub(crate) fn note(&mut self) {
        let ids = others(&self.target).map(|path| identify(&path).ok());
        // If the main file was just replaced, these files may belong to the new one: ignore them.
        if !self.has_moved() {
            self.others = ids;
        }
    }

    /// Returns whether all files are still at their paths.
    pub(crate) fn are_in_place(&self) -> bool {
        identify(&self.path).ok() == self.main
            && others(&self.target).map(|path| identify(&path).ok()) == self.others
    }

    /// Call this before closing a connection whose files are no longer in place.
    ///
    /// If the main file was removed or replaced, or `-wal` was removed, saves the contents of
    /// `-wal` in the main file. If the main file was removed or replaced, then removes its `-wal`
    /// and `-shm`. SQLite itself doesn't save the `-wal` of a main file that was removed or
    /// replaced, and would use that `-wal` with the next main file: a backup that was moved into
    /// place would be corrupted. If `-wal` itself was removed, only the last connection to close
    /// would save its contents.
    pub(crate) fn leave(&self, connection: &Connection) {
        let (has_moved, others) = (self.has_moved(), others(&self.target));
        if has_moved || !others[0].exists() {
            _ = connection.query_row("pragma wal_checkpoint", [], |_| Ok(()));
        }
        for (path, id) in others.iter().zip(self.others) {
            // While the connection has the file open, no other file can have its inode.
            if has_moved && id.is_some() && identify(path).ok() == id {
                _ = fs::remove_file(path);
            }
        }
    }

    /// Returns whether the main file was removed or replaced, or its directory renamed.
    fn has_moved(&self) -> bool {
        let found = identify(&self.target);
        found.map_or_else(|error| error.kind() == NotFound, |id| Some(id) != self.main)
    }
}

fn others(target: &Path) -> [PathBuf; 2] {
    ["-wal", "-shm"].map(|suffix| {
        let mut path = target.as_os_str().to_owned();
        path.push(suffix);
        path.into()
    })
}

/// The error text when a session ends because its files are no longer in place.
pub(crate) const REMOVED: &str = "the file, its -wal or its -shm was removed or replaced";

/// Creates an error with one of SQLite's codes.
pub(crate) fn failure(code: c_int, reason: impl Into<String>) -> Failed {
    Failed::SqliteFailure(ffi::Error::new(code), Some(reason.into()))
}

/// Returns a file's device and inode without opening it: closing it would release SQLite's locks.
#[cfg(unix)]
fn identify(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().map(|file| (file.dev(), file.ino()))
}

/// Returns a constant: Windows does not let an open file be removed or replaced.
#[cfg(not(unix))]
fn identify(path: &Path) -> io::Result<(u64, u64)> {
    path.metadata().map(|_| (0, 0))
}
