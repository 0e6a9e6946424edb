//! Tagged series: announced to graphite-web's tag index, once new and again later, to a server of the
//! test and to graphite-web itself; and their files, which change from readable names to hashed ones.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::format_push_string,
    reason = "a test has threads and locks, and builds its text simply"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use benzene_engine::metric::{Metric, TaggedLeaf};

use crate::daemon::{Daemon, Querier, Setup, wait_for, whisper_points};
use crate::first_use::now;
use crate::selfmetrics::host;

/// Takes announcements, and keeps the series.
struct Index {
    address: SocketAddr,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Index {
    fn start() -> Index {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let paths: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&paths);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let body = read_body(&socket);
                let fields = body
                    .split('&')
                    .map(|field| field.strip_prefix("path=").unwrap());
                let fields = fields.map(|field| field.replace("%3B", ";").replace("%3D", "="));
                kept.lock().unwrap().extend(fields);
                let reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
                socket.write_all(reply.as_bytes()).unwrap();
            }
        });
        Index { address, paths }
    }

    fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }

    fn count(&self, path: &str) -> usize {
        self.paths().iter().filter(|found| *found == path).count()
    }
}

fn read_body(socket: &TcpStream) -> String {
    let mut reader = BufReader::new(socket);
    let (mut length, mut line) = (0, String::new());
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "cut off");
        if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
            length = text.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn conf(url: &str) -> String {
    format!("GRAPHITE_URL = {url}\nCARBON_METRIC_INTERVAL = 1\n")
}

#[test]
fn new_tagged_series_are_announced_once_and_again_with_every_third_update() {
    let index = Index::start();
    let url = format!("http://{}", index.address);
    let daemon = Daemon::start(&Setup {
        shards: Some(2),
        ..Setup::conf(&format!("{}TAG_UPDATE_INTERVAL = 3", conf(&url)))
    });
    let time = now();
    let mut text = String::new();
    for number in 0..50 {
        text += &format!("disk.used;host=h{number};dc=b 1 {time}\ndisk.plain.h{number} 1 {time}\n");
    }
    text += &format!("disk.bad;tag 1 {time}\n");
    daemon.send(&text);
    let name = |number| format!("disk.used;dc=b;host=h{number}");
    let has_all = || (0..50).all(|number| index.count(&name(number)) > 0);
    wait_for(|| has_all().then_some(())).unwrap_or_else(|| panic!("{:?}", index.paths()));
    assert_eq!(
        index.paths().len(),
        50,
        "each once, and no other: {:?}",
        index.paths()
    );

    // One of them goes on. Its first point was its first update.
    let file = daemon.data().join(hashed(&name(7)));
    let mut written = 1;
    while index.count(&name(7)) < 3 {
        written += 1;
        daemon.send(&format!("{} {written} {}\n", name(7), time - written));
        let points = wait_for(|| {
            let points = whisper_points(&file, 0).len();
            (points == usize::try_from(written).unwrap()).then_some(points)
        });
        points.unwrap_or_else(|| panic!("{written} points: {}", daemon.log()));
        // With the third and the sixth update it is due; the thread has its time.
        if written % 3 == 0 {
            let due = 1 + usize::try_from(written / 3).unwrap();
            wait_for(|| (index.count(&name(7)) >= due).then_some(())).unwrap();
        }
        assert!(index.count(&name(7)) <= 1 + usize::try_from(written / 3).unwrap());
    }
    assert_eq!(written, 6);

    let own = |name: &str| format!("carbon.agents.{}-a.benzene.{name}", host());
    let mut querier = Querier::connect(daemon.query);
    for (name, count) in [("tags.posted", 52.0), ("tags.unsound", 1.0)] {
        wait_for(|| {
            let points = querier.points(&own(name));
            points
                .iter()
                .any(|(_, value)| (*value - count).abs() < 1e-6)
                .then_some(())
        })
        .unwrap_or_else(|| panic!("{name} is never {count}: {:?}", querier.points(&own(name))));
    }
    assert!(daemon.stop().status.success());
}

/// graphite-web behind TLS, as far as an announcement sees it.
const SECURE: &str = r#"
import http.server, ssl, sys, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(self.path, *urllib.parse.parse_qs(body)["path"], flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A server with a certificate that signs itself.
struct Secure {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Secure {
    /// `authority`: the certificate says that it is one.
    fn start(root: &std::path::Path, name: &str, authority: bool) -> Secure {
        let [certificate, key] = ["pem", "key"].map(|end| root.join(format!("{name}.{end}")));
        let authority = if authority { "TRUE" } else { "FALSE" };
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args([
                "-subj",
                "/CN=graphite",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ])
            .args([
                "-addext",
                &format!("basicConstraints=critical,CA:{authority}"),
            ])
            .args([
                "-keyout",
                key.to_str().unwrap(),
                "-out",
                certificate.to_str().unwrap(),
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let mut child = Command::new(benzene_fixtures::python().unwrap())
            .args(["-c", SECURE])
            .args([certificate, key])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut secure = Secure {
            child,
            lines,
            port: 0,
        };
        secure.port = secure.line().parse().unwrap();
        secure
    }

    /// What it says next: where a post went, and the series.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// A daemon that announces to it, and trusts the certificates in a file.
    fn daemon(&self, trusted: &std::path::Path) -> Daemon {
        let daemon = Daemon::start(&Setup {
            env: vec![("SSL_CERT_FILE", trusted.to_str().unwrap().to_owned())],
            ..Setup::conf(&format!(
                "GRAPHITE_URL = https://127.0.0.1:{}/sub\nCARBON_METRIC_INTERVAL = 0\n",
                self.port
            ))
        });
        daemon.send(&format!("secure.series;a=b 1 {}\n", now()));
        daemon
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_certificate_is_trusted_once_it_is_in_the_file_and_said_once_before() {
    const POSTED: &str = "/sub/tags/tagMultiSeries secure.series;a=b";
    let root = tempfile::tempdir().unwrap();
    let mut secure = Secure::start(root.path(), "graphite", false);
    let own = root.path().join("graphite.pem");
    let daemon = secure.daemon(&own);
    assert_eq!(secure.line(), POSTED, "{}", daemon.log());
    drop(daemon);

    let other = Secure::start(root.path(), "other", false);
    let trusted = root.path().join("other.pem");
    let mut daemon = secure.daemon(&trusted);
    daemon.wait_for_log("its certificate is not accepted: nobody who is trusted has signed it");
    // It has been tried again twice when the certificate is put there.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let log = daemon.log();
    let said = log.lines().filter(|line| line.contains("certificate"));
    assert_eq!(said.count(), 1, "{log}");
    std::fs::copy(&own, &trusted).unwrap();
    assert_eq!(secure.line(), POSTED, "{}", daemon.log());
    daemon.wait_for_log("takes series again");
    drop((daemon, other));

    let authority = Secure::start(root.path(), "authority", true);
    let mut daemon = authority.daemon(&root.path().join("authority.pem"));
    daemon.wait_for_log("basicConstraints=critical,CA:FALSE");
}

#[test]
fn series_without_tags_are_announced_where_that_is_asked_for() {
    let index = Index::start();
    let url = format!("http://{}", index.address);
    let more = "SKIP_TAGS_FOR_NONTAGGED = False\nCARBON_METRIC_PREFIX = own\n";
    let daemon = Daemon::start(&Setup::conf(&format!("{}{more}", conf(&url))));
    daemon.send(&format!("plain.name 1 {}\n", now()));
    wait_for(|| (index.count("plain.name") == 1).then_some(())).unwrap();
    // Own metrics are series like others.
    let own = format!("own.agents.{}-a.cpuUsage", host());
    wait_for(|| (index.count(&own) == 1).then_some(())).unwrap();
}

/// graphite-web itself.
pub(crate) struct Web {
    child: Child,
    address: SocketAddr,
}

impl Web {
    /// On files below a directory, and asking these caches.
    pub(crate) fn start(directory: &std::path::Path, port: u16, caches: &[SocketAddr]) -> Web {
        let caches: Vec<String> = caches.iter().map(SocketAddr::to_string).collect();
        let script = benzene_fixtures::path("python/graphite_web.py");
        let mut child = Command::new(benzene_fixtures::python().unwrap())
            .arg(script)
            .arg(directory)
            .arg(port.to_string())
            .env("CARBONLINK_HOSTS", caches.join(","))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port: u16 = line.trim().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Web { child, address }
    }

    /// The answer to a GET, head and body.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut socket = TcpStream::connect(self.address).unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn graphite_web_finds_series_that_were_made_before_it_was_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let conf = conf(&format!("http://127.0.0.1:{port}"));
    let mut daemon = Daemon::start(&Setup::conf(&conf));
    let time = now();
    daemon.send(&format!(
        "web.hits{{verb=\"get\",code=\"200\"}} 1 {time}\nweb.hits;city=\u{6771}\u{4eac} 2 {time}\n\
         web.hits;verb=put;code=500 3 {time}\n"
    ));
    daemon.wait_for_log("series cannot be announced to graphite-web");
    let root = tempfile::tempdir().unwrap();
    let web = Web::start(root.path(), port, &[]);
    let found = wait_for(|| {
        let found = web.get("/tags/findSeries?expr=name=web.hits");
        (found.matches("web.hits;").count() == 3).then_some(found)
    });
    let found = found.unwrap_or_else(|| panic!("{}", daemon.log()));
    for name in [
        "web.hits;code=200;verb=get",
        "web.hits;code=500;verb=put",
        "web.hits;city=\\u6771\\u4eac",
    ] {
        assert!(found.contains(name), "{name} in {found}");
    }
    daemon.wait_for_log("takes series again");
    assert!(daemon.stop().status.success());
}

/// The file of a metric by its hash, below the data directory.
fn hashed(name: &str) -> PathBuf {
    Metric::from_canonical(name)
        .unwrap()
        .file_path(TaggedLeaf::Hashed)
}

#[test]
fn readable_files_get_their_hashed_names_and_keep_what_is_in_them() {
    let setup = |leaf: &str| Setup {
        shards: Some(2),
        ..Setup::conf(&format!("ENABLE_TAGS = False\nTAG_HASH_FILENAMES = {leaf}"))
    };
    let time = now();
    let names: Vec<String> = (0..20).map(|number| format!("a.b;n={number}")).collect();
    let send = |daemon: &Daemon, names: &[String], time: u32| {
        let lines = names.iter().map(|name| format!("{name} {time} {time}\n"));
        daemon.send(&lines.collect::<String>());
    };
    let daemon = Daemon::start(&setup("False"));
    send(&daemon, &names, time - 10);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let data = ended.data();
    let readable = |name: &str| {
        let path = Metric::from_canonical(name).unwrap().readable_path();
        data.join(path.unwrap())
    };
    assert!(
        names.iter().all(|name| readable(name).exists()),
        "{}",
        ended.log
    );
    // Of the last two, one is never seen again, and one has a hashed file of its own already.
    let (_, [absent, taken]) = names.split_last_chunk::<2>().unwrap();
    std::fs::copy(readable(&names[0]), data.join(hashed(taken))).unwrap();

    let daemon = Daemon::start_in(&setup("True"), ended.root);
    let seen: Vec<String> = names
        .iter()
        .filter(|name| *name != absent)
        .cloned()
        .collect();
    send(&daemon, &seen, time);
    let ended = daemon.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert!(ended.log.contains("tags.filesRenamed 18"), "{}", ended.log);
    let data = ended.data();
    for name in &seen {
        let value = |time: u32| (time, f64::from(time));
        let points = whisper_points(&data.join(hashed(name)), 0);
        assert_eq!(points, [value(time - 10), value(time)], "{name}");
    }
    let readable = |name: &str| {
        data.join(
            Metric::from_canonical(name)
                .unwrap()
                .readable_path()
                .unwrap(),
        )
    };
    let left: Vec<&String> = names
        .iter()
        .filter(|name| readable(name).exists())
        .collect();
    assert_eq!(left, [absent, taken]);
    assert!(!data.join(hashed(absent)).exists());

    // The other way nothing is renamed, as in Python carbon: a new readable file begins.
    let daemon = Daemon::start_in(&setup("False"), ended.root);
    send(&daemon, &names[..1], time);
    let ended = daemon.stop();
    let data = ended.data();
    assert!(data.join(hashed(&names[0])).exists(), "{}", ended.log);
    let path = Metric::from_canonical(&names[0]).unwrap().readable_path();
    let points = whisper_points(&data.join(path.unwrap()), 0);
    assert_eq!(points, [(time, f64::from(time))]);
}
