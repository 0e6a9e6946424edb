//! A start that fails at a late core, for want of a thread, has accepted nothing: what the first cores had
//! taken in meanwhile would be lost with the process.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use benzene_engine::ring::host;

use crate::daemon::{Way, command};

/// Becomes a program whose user may have only so many threads. Root is not held to it.
const FEW_THREADS: &str = "
import os, resource, sys
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
os.execv(sys.argv[2], sys.argv[2:])
";

/// No other test's daemon is this user's, and counts with ours.
const USER: &str = "daemon";

/// A query for no metric at all, which the first core can answer without any other.
const REQUEST: &[u8] = b"(S'type'\nS'cache-query-bulk'\nS'metrics'\n(ld.";

/// Asks as soon as there is a port, again and again: how often it could, and what was answered.
fn ask_until(end: &AtomicBool, address: SocketAddr) -> (u32, Vec<u8>) {
    let length = u32::try_from(REQUEST.len()).unwrap().to_be_bytes();
    let request = [&length, REQUEST].concat();
    let (mut asked, mut answer) = (0, Vec::new());
    while !end.load(Ordering::Acquire) {
        let Ok(mut socket) = TcpStream::connect(address) else {
            continue;
        };
        if socket.write_all(&request).is_ok() {
            asked += 1;
            let mut first = [0; 4];
            if socket.read_exact(&mut first).is_ok() {
                answer.extend(first);
            }
        }
    }
    (asked, answer)
}

#[test]
fn where_a_late_core_cannot_start_no_early_one_has_accepted_anything() {
    if host::user() != 0 {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.path(), open).unwrap();
    let conf = root.path().join("carbon.conf");
    let storage = root.path().join("storage");
    let text = format!(
        "[cache]\nSTORAGE_DIR = {}\nUSER = {USER}\n",
        storage.display()
    );
    std::fs::write(&conf, text).unwrap();
    std::fs::write(root.path().join("storage-schemas.conf"), "").unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let query = free.local_addr().unwrap();
    drop(free);
    let mut wrapper = vec![
        benzene_fixtures::python().unwrap().display().to_string(),
        "-c".to_owned(),
        FEW_THREADS.to_owned(),
        "80".to_owned(),
    ];
    wrapper.extend(Way::of_this_run().wrapper());
    let mut command = command(&wrapper);
    command.args(["cache", "--config"]).arg(&conf);
    command.args(["--shards", "64", "--line", "127.0.0.1:0", "--pickle", "off"]);
    command.args(["--query", &query.to_string()]);
    let end = AtomicBool::new(false);
    let (output, (asked, answer)) = std::thread::scope(|scope| {
        let asker = scope.spawn(|| ask_until(&end, query));
        let output = command.output().unwrap();
        end.store(true, Ordering::Release);
        (output, asker.join().unwrap())
    });
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("ring driver: "), "no core was ready: {log}");
    assert!(!log.contains("is ready"), "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let [error] = errors[..] else { panic!("{log}") };
    assert!(error.contains("thread"), "{error}");
    assert!(asked > 0, "the port was never there: {log}");
    assert!(answer.is_empty(), "a query was answered: {log}");
}
