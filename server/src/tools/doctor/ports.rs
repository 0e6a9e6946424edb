//! Whether the addresses of the configuration can be listened on now.
//! Each is bound and given back at once; a TCP one is not listened on, so nobody can connect to us.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::finding::Finding;
use crate::config::{At, Service, Settings};
use crate::desk::attempt_door;
use crate::exit::Exit;

/// What came of looking at each socket, in the order of the settings.
#[derive(Default)]
pub(super) struct Attempts(Vec<Option<io::Result<()>>>);

impl Attempts {
    /// Tries those that `picks` and that were not tried yet.
    pub(super) fn make(&mut self, settings: &Settings, picks: impl Fn(&At) -> bool) {
        self.0.resize_with(settings.doors.len(), || None);
        for (door, attempt) in settings.doors.iter().zip(&mut self.0) {
            if attempt.is_none() && picks(&door.at) {
                *attempt = Some(attempt_door(door));
            }
        }
    }
}

/// One finding for each socket that is to be listened on, and for each service that is off.
pub(super) fn findings(settings: &Settings, mut attempts: Attempts) -> Vec<Finding> {
    attempts.make(settings, |_| true);
    let mut tried: Vec<_> = settings.doors.iter().zip(attempts.0).collect();
    let mut findings = Vec::new();
    for service in Service::ALL {
        let of_it: Vec<_> = tried
            .extract_if(.., |(door, _)| door.service == service)
            .collect();
        if of_it.is_empty() {
            let means = format!("{} says so", service.port_option());
            findings.push(Finding::ok(service.noun(), "off", means));
        }
        findings.extend(of_it.into_iter().map(|(door, attempt)| {
            let answer = attempt.unwrap_or(Ok(()));
            match &door.at {
                At::Inet(address) => match (&door.rival, &answer) {
                    (Some(rival), Err(error)) if error.kind() == io::ErrorKind::AddrInUse => {
                        let means = format!(
                            "another process has the port, as {rival} asks for: nobody listens here"
                        );
                        Finding::ok(service.noun(), address.to_string(), means)
                    }
                    _ => judge(service.noun(), *address, door.key, answer),
                },
                At::Unix(path) => judge_path(service.noun(), path, door.key, answer),
            }
        }));
    }
    findings
}

fn judge_path(what: &'static str, path: &Path, key: &str, answer: io::Result<()>) -> Finding {
    let seen = path.display().to_string();
    let Err(error) = answer else {
        return Finding::ok(what, seen, "nobody listens there");
    };
    let (means, exit, mend) = if error.kind() == io::ErrorKind::AddrInUse {
        let mend = format!("stop it (ss -lxp names it), or set {key} to another path");
        (
            "another process listens there".to_owned(),
            Exit::PortInUse,
            mend,
        )
    } else if error.kind() == io::ErrorKind::AlreadyExists {
        let mend = format!("move it away, or set {key} to another path");
        (
            "there is a file that is no socket".to_owned(),
            Exit::Config,
            mend,
        )
    } else {
        let mend = format!(
            "make its directory, writable for the daemon's user, or set {key} to another path"
        );
        (
            format!("it cannot be listened on: {error}"),
            Exit::Config,
            mend,
        )
    };
    Finding::ok(what, seen, means).fails(exit, mend)
}

fn judge(what: &'static str, address: SocketAddr, key: &str, answer: io::Result<()>) -> Finding {
    let seen = address.to_string();
    match answer {
        Ok(()) => Finding::ok(what, seen, "the address is free"),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let port = address.port();
            let means = "another process has the port; if it is the carbon-cache that is to be \
                         replaced, that is as it should be until it is stopped";
            Finding::ok(what, seen, means).fails(
                Exit::PortInUse,
                format!(
                    "stop it (ss -lnp 'sport = :{port}' names it), or set {key} to a free port"
                ),
            )
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let means = format!("this user may not listen there: {error}");
            Finding::ok(what, seen, means).fails(
                Exit::Config,
                format!(
                    "set {key} to 1024 or above, or allow it: AmbientCapabilities=\
                     CAP_NET_BIND_SERVICE under systemd, --cap-add NET_BIND_SERVICE for docker"
                ),
            )
        }
        Err(error) => Finding::ok(what, seen, format!("it cannot be listened on: {error}")).fails(
            Exit::Config,
            format!("set {key} and its INTERFACE to an address of this machine (ip addr)"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn each_reason_has_its_own_mend() {
        let address = SocketAddr::from(([127, 0, 0, 1], 2003));
        let said = |kind: io::ErrorKind| {
            let found = judge("pickle receiver", address, "KEY", Err(kind.into()));
            assert_eq!(found.level, Level::Fail);
            (found.exit, found.line())
        };
        let (exit, line) = said(io::ErrorKind::AddrInUse);
        assert_eq!(exit, Some(Exit::PortInUse));
        assert!(line.contains("ss -lnp 'sport = :2003'"), "{line}");
        let (exit, line) = said(io::ErrorKind::PermissionDenied);
        assert_eq!(exit, Some(Exit::Config), "as `benzene cache` ends");
        assert!(line.contains("CAP_NET_BIND_SERVICE"), "{line}");
        let (exit, line) = said(io::ErrorKind::AddrNotAvailable);
        assert_eq!(exit, Some(Exit::Config));
        assert!(line.contains("ip addr"), "{line}");
    }
}
