//! USER: the daemon takes on another user once what only root may do is done, for good and for all
//! its threads, which are one at that moment: neither a ring nor a core exists yet.
//! What is made belongs to that user: root makes no more than the first directory that is missing
//! in a directory of root's own, and gives it away; everything below it the user makes himself, so
//! that root never walks where the user could have laid a link.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use benzene_engine::ring::host;
use nix::unistd::{self, Gid, Uid};

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
pub(super) struct User {
    name: String,
    pub(super) number: u32,
    pub(super) group: u32,
}

impl User {
    /// The user of that name; none where there is nothing to change.
    pub(super) fn find(name: Option<&str>) -> Result<Option<User>, UserError> {
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

    /// Sees to it that the user can make a directory and what is missing above it.
    pub(super) fn open_the_way_to(&self, directory: &Path) -> Result<(), UserError> {
        self.make_first_missing(directory)
            .map_err(|source| self.failed(format!("make {}", directory.display()), source))
    }

    fn make_first_missing(&self, directory: &Path) -> io::Result<()> {
        let mut missing = None;
        for place in directory.ancestors() {
            let there = if place.as_os_str().is_empty() {
                Path::new(".")
            } else {
                place
            };
            match (std::fs::metadata(there), missing) {
                (Ok(found), Some(first)) if found.uid() == ROOT && found.is_dir() => {
                    std::fs::create_dir(first)?;
                    return lchown(first, Some(self.number), Some(self.group));
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

    /// Becomes this user, with all his groups and no way back.
    pub(super) fn take_on(&self) -> Result<(), UserError> {
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
        tracing::info!(
            "the daemon is user {} ({}) from now on",
            self.name,
            self.number
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

#[cfg(test)]
mod tests {
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
}
