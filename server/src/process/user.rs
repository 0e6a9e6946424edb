//! USER: the daemon takes on another user once what only root may do is done, for good and for all
//! its threads, which are one at that moment: neither a ring nor a core exists yet.
//! What is made belongs to that user. Root makes something only in a directory of root's own, and
//! gives it away at once (`give`, the one place that does): the first directory that is missing on a
//! way, the pid file, Unix sockets. Everything else the user makes himself, so that root never walks
//! where the user could have laid a link.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use benzene_engine::ring::host;
use nix::unistd::{self, Gid, Uid};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::config::At;

/// The number of the user who may become any other.
const ROOT: u32 = 0;

/// Why the daemon cannot take on its user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    /// Nobody is called so.
    #[error(
        "USER = {name} in carbon.conf: there is no such user; make him (useradd --system {name}), or \
         remove USER to keep the user that starts the daemon"
    )]
    Unknown {
        /// The name.
        name: String,
    },
    /// Only root may.
    #[error(
        "USER = {name} in carbon.conf: user {own} may not become {name}; start the daemon as root or as \
         {name}, or remove USER to keep the user that starts it"
    )]
    NotRoot {
        /// The name.
        name: String,
        /// Who we are.
        own: u32,
    },
    /// The kernel or the user database says no.
    #[error("USER = {name} in carbon.conf: cannot {what}: {source}")]
    Failed {
        /// The name.
        name: String,
        /// What was tried.
        what: String,
        /// What was answered.
        source: io::Error,
    },
}

/// Another user, whom the daemon is to become.
#[derive(Debug)]
pub(crate) struct User {
    name: String,
    number: u32,
    group: u32,
}

impl User {
    /// The user of that name; none where there is nothing to change.
    pub(crate) fn find(name: Option<&str>) -> Result<Option<User>, UserError> {
        let Some(name) = name else { return Ok(None) };
        let found = unistd::User::from_name(name).map_err(|errno| UserError::Failed {
            name: name.to_owned(),
            what: "look the user up".to_owned(),
            source: errno.into(),
        })?;
        let name = name.to_owned();
        let Some(found) = found else {
            return Err(UserError::Unknown { name });
        };
        let own = host::user();
        if found.uid.as_raw() == own {
            return Ok(None);
        }
        if own != ROOT {
            return Err(UserError::NotRoot { name, own });
        }
        Ok(Some(User {
            name,
            number: found.uid.as_raw(),
            group: found.gid.as_raw(),
        }))
    }

    /// His name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether root binds a socket, before the user is taken on: only he may have low ports.
    pub(crate) fn leaves_binding_to_root(&self, at: &At) -> bool {
        match at {
            At::Inet(_) => true,
            At::Unix(path) => self.leaves_to_root(path.parent().unwrap_or(Path::new(""))),
        }
    }

    /// Sees to it that the user can make a directory and what is missing above it.
    pub(super) fn open_the_way_to(&self, directory: &Path) -> Result<(), UserError> {
        self.make_first_missing(directory)
            .map_err(|source| self.failed(format!("make {}", directory.display()), source))
    }

    fn make_first_missing(&self, directory: &Path) -> io::Result<()> {
        let mut missing = None;
        for place in directory.ancestors() {
            match (std::fs::metadata(here(place)), missing) {
                (Ok(_), Some(first)) if self.leaves_to_root(place) => {
                    std::fs::create_dir(first)?;
                    return self.give_made(first, FileType::Directory);
                }
                (Ok(_), _) => return Ok(()),
                (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
                    missing = Some(place);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether root makes what is to lie in a directory: it is root's, and none on the way to it is this
    /// user's, in which he could have laid a link.
    pub(crate) fn leaves_to_root(&self, directory: &Path) -> bool {
        let directory = here(directory);
        let Ok(real) = std::fs::canonicalize(directory) else {
            return false;
        };
        let is_roots =
            std::fs::metadata(&real).is_ok_and(|found| found.is_dir() && found.uid() == ROOT);
        let mut way = directory.ancestors().chain(real.ancestors());
        is_roots
            && way.all(|place| {
                let found = std::fs::symlink_metadata(here(place));
                found.is_ok_and(|found| found.uid() != self.number)
            })
    }

    /// Gives him the file of a Unix socket that root has bound.
    pub(super) fn give_socket(&self, path: &Path) -> Result<(), UserError> {
        self.give_made(path, FileType::Socket)
            .map_err(|source| self.failed(format!("give him {}", path.display()), source))
    }

    /// Gives away what root has just made at a path, and nothing that has taken its place since.
    fn give_made(&self, path: &Path, kind: FileType) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::open(path, flags, Mode::empty())?;
        let found = rustix::fs::fstat(&made)?;
        let is_alone = kind == FileType::Directory || found.st_nlink == 1;
        if FileType::from_raw_mode(found.st_mode) != kind || found.st_uid != ROOT || !is_alone {
            return Err(io::Error::other("another file has taken its place"));
        }
        self.give(made)
    }

    /// Gives him an open file.
    pub(super) fn give(&self, made: impl AsFd) -> io::Result<()> {
        let owner = rustix::fs::Uid::from_raw(self.number);
        let group = rustix::fs::Gid::from_raw(self.group);
        let flags = AtFlags::EMPTY_PATH;
        Ok(rustix::fs::chownat(
            made,
            "",
            Some(owner),
            Some(group),
            flags,
        )?)
    }

    /// Becomes this user, with all his groups and no way back.
    pub(crate) fn take_on(&self) -> Result<(), UserError> {
        let failed = |what: &str, source: io::Error| self.failed(what.to_owned(), source);
        let name = CString::new(self.name.as_str())
            .map_err(|error| failed("write the name", error.into()))?;
        let (user, group) = (Uid::from_raw(self.number), Gid::from_raw(self.group));
        unistd::initgroups(&name, group)
            .map_err(|errno| failed("take the groups", errno.into()))?;
        unistd::setresgid(group, group, group)
            .map_err(|errno| failed("take the group", errno.into()))?;
        unistd::setresuid(user, user, user)
            .map_err(|errno| failed("take the user", errno.into()))?;
        assert!(
            unistd::setuid(Uid::from_raw(ROOT)).is_err(),
            "{} can become root again",
            self.name
        );
        Ok(())
    }

    fn failed(&self, what: String, source: io::Error) -> UserError {
        UserError::Failed {
            name: self.name.clone(),
            what,
            source,
        }
    }
}

/// A place on a way, of which the first is where we are.
fn here(place: &Path) -> &Path {
    if place.as_os_str().is_empty() {
        Path::new(".")
    } else {
        place
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::lchown;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn who_is_unknown_or_oneself_is_told() {
        assert!(User::find(None).unwrap().is_none());
        let error = User::find(Some("no-such-user-here")).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("useradd --system no-such-user-here"),
            "{said}"
        );
        let own = unistd::User::from_uid(Uid::effective()).unwrap();
        if let Some(own) = own {
            assert!(User::find(Some(&own.name)).unwrap().is_none());
        }
    }

    #[test]
    fn root_makes_the_first_missing_directory_only() {
        if host::user() != ROOT {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let user = User::find(Some("nobody")).unwrap().unwrap();
        let wanted = root.path().join("storage/whisper");
        user.open_the_way_to(&wanted).unwrap();
        let made = std::fs::metadata(root.path().join("storage")).unwrap();
        assert_eq!((made.uid(), made.gid()), (user.number, user.group));
        assert!(!wanted.exists(), "the user makes that himself");
        user.open_the_way_to(&wanted).unwrap();
        assert!(!wanted.exists(), "not in a directory of his");
        user.open_the_way_to(root.path()).unwrap();
        assert_eq!(std::fs::metadata(root.path()).unwrap().uid(), ROOT);
    }

    #[test]
    fn root_makes_nothing_where_the_user_could_have_laid_a_link() {
        if host::user() != ROOT {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let user = User::find(Some("nobody")).unwrap().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["his", "roots"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        lchown(at("his"), Some(user.number), None).unwrap();
        std::fs::create_dir(at("his/roots")).unwrap();
        std::os::unix::fs::symlink(at("roots"), at("his/link")).unwrap();
        std::os::unix::fs::symlink(at("his/roots"), at("roots/link")).unwrap();
        for (name, leaves) in [
            ("roots", true),
            ("his", false),
            ("his/roots", false),
            ("his/link", false),
            ("roots/link", false),
            ("missing", false),
        ] {
            assert_eq!(user.leaves_to_root(&at(name)), leaves, "{name}");
        }
        user.open_the_way_to(&at("his/link/logs")).unwrap();
        assert!(!at("roots/logs").exists());
    }

    #[test]
    fn only_what_was_made_is_given_away() {
        if host::user() != ROOT {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let user = User::find(Some("nobody")).unwrap().unwrap();
        let at = |name: &str| root.path().join(name);
        let owner = |name: &str| std::fs::symlink_metadata(at(name)).unwrap().uid();
        let _bound = UnixListener::bind(at("socket")).unwrap();
        user.give_socket(&at("socket")).unwrap();
        assert_eq!(owner("socket"), user.number);
        // What is his already was not made by root a moment ago.
        let error = user.give_socket(&at("socket")).unwrap_err().to_string();
        assert!(error.contains("cannot give him"), "{error}");
        std::fs::write(at("precious"), "kept").unwrap();
        std::os::unix::fs::symlink(at("precious"), at("link")).unwrap();
        let _other = UnixListener::bind(at("other")).unwrap();
        std::fs::hard_link(at("other"), at("second")).unwrap();
        for name in ["precious", "link", "other", "missing"] {
            user.give_socket(&at(name)).unwrap_err();
        }
        assert_eq!((owner("precious"), owner("other")), (ROOT, ROOT));
    }
}
