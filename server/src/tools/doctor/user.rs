//! Whom the daemon becomes (USER): what only root does is looked at first, then that user is taken on,
//! for good, and everything else is looked at as him, as the daemon does it.
//! Where he cannot be taken on the daemon does not start, and the rest is how it is for who asks.

use benzene_engine::ring::host;

use super::finding::Finding;
use crate::exit::Exit;
use crate::process::{User, UserError};

const WHAT: &str = "user";

/// Becomes USER, after a look `as_root` where that is another than who asks; answers him then.
pub(super) fn take_on(name: Option<&str>, as_root: impl FnOnce(&User)) -> (Option<User>, Finding) {
    let user = match User::find(name) {
        Ok(Some(user)) => user,
        Ok(None) => return (None, stays(name)),
        Err(error) => return (None, refused(&error)),
    };
    as_root(&user);
    match user.take_on() {
        Ok(()) => {
            let seen = format!("{} (uid {})", user.name(), host::user());
            let means = "USER of carbon.conf: the daemon becomes this user once its ports are bound, \
                         and all but those is looked at as him";
            let found = Finding::ok(WHAT, seen, means);
            (Some(user), found)
        }
        Err(error) => (None, refused(&error)),
    }
}

fn stays(name: Option<&str>) -> Finding {
    let seen = format!("uid {}", host::user());
    let means = match name {
        Some(_) => "this is USER of carbon.conf",
        None => "the daemon stays the user that starts it: carbon.conf names no other (USER)",
    };
    Finding::ok(WHAT, seen, means)
}

fn refused(error: &UserError) -> Finding {
    let means = format!(
        "the daemon does not start; the rest is how it is for uid {}",
        host::user()
    );
    let mend = "do as it says, and ask again as root or as that user";
    Finding::ok(WHAT, error.to_string(), means).fails(Exit::Config, mend)
}
