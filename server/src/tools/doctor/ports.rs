//! Whether the addresses of the configuration can be listened on now.
//! Each is bound and given back at once; a TCP one is not listened on, so nobody can connect to us.

use std::io;
use std::net::SocketAddr;

use benzene_engine::ring::socket;

use super::finding::Finding;
use crate::config::Settings;
use crate::exit::Exit;

/// One finding for each receiver and the cache query.
pub(super) fn findings(settings: &Settings) -> Vec<Finding> {
    type Try = fn(SocketAddr) -> io::Result<()>;
    let wanted: [(&'static str, Option<SocketAddr>, &'static str, Try); 5] = [
        (
            "line receiver (TCP)",
            settings.line,
            "LINE_RECEIVER_PORT",
            socket::try_tcp,
        ),
        (
            "line receiver (UDP)",
            settings.udp,
            "UDP_RECEIVER_PORT",
            socket::try_udp,
        ),
        (
            "pickle receiver",
            settings.pickle,
            "PICKLE_RECEIVER_PORT",
            socket::try_tcp,
        ),
        (
            "protobuf receiver",
            settings.protobuf,
            "PROTOBUF_RECEIVER_PORT",
            socket::try_tcp,
        ),
        (
            "cache query",
            settings.query,
            "CACHE_QUERY_PORT",
            socket::try_tcp,
        ),
    ];
    let each = wanted.into_iter().map(|(what, address, key, attempt)| {
        let Some(address) = address else {
            return Finding::ok(what, "off", format!("{key} says so"));
        };
        judge(what, address, key, attempt(address))
    });
    each.collect()
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
