//! Posts to a real HTTP server on this machine, which keeps what it is sent.
#![expect(
    clippy::disallowed_types,
    reason = "a test's server shares what it was sent under a lock"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;

use super::*;

/// A request as it came: its head, and its body.
type Request = (String, String);

/// A server that answers each request by what it is told.
struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// `answer` gets the number of the request and its body.
    fn start(answer: impl Fn(usize, &str) -> String + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&requests);
        std::thread::Builder::new()
            .spawn(move || {
                for (number, socket) in listener.incoming().enumerate() {
                    let mut socket = socket.unwrap();
                    let request = read_request(&socket);
                    let reply = answer(number, &request.1);
                    kept.lock().unwrap().push(request);
                    drop(socket.write_all(reply.as_bytes()));
                }
            })
            .unwrap();
        Server { address, requests }
    }

    fn url(&self, user: &str, path: &str) -> GraphiteUrl {
        GraphiteUrl::parse(&format!("http://{user}{}{path}", self.address)).unwrap()
    }

    /// All series that it was sent, in order.
    fn paths(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().flat_map(|(_, body)| paths(body)).collect()
    }
}

fn read_request(socket: &TcpStream) -> Request {
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "cut off: {head}");
    }
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// The values of a form's fields, which are all called `path`.
fn paths(body: &str) -> Vec<String> {
    let fields = body
        .split('&')
        .map(|field| field.strip_prefix("path=").unwrap());
    fields.map(decoded).collect()
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'%' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => *other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn reply(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn settings(url: GraphiteUrl) -> TagSettings {
    TagSettings {
        url,
        update_interval: 100,
        batch_max: 100,
        queue_max: 10_000,
        untagged: false,
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = clock::now().instant + Duration::from_secs(60);
    while !is_so() {
        assert!(clock::now().instant < deadline, "never {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn names_arrive_as_they_are_below_the_path_of_the_url_and_with_its_user() {
    let server = Server::start(|_, _| reply("200 OK", "[]"));
    let names = [
        "a.b;dc=tokyo;k=v w",
        "\u{6771}\u{4eac};x=a&b=c%20+",
        "m;q=\"1\"",
    ];
    let mut post = Post::new(&server.url("me:secret@", "/graphite/"));
    post.send(names.into_iter()).unwrap();
    assert_eq!(server.paths(), names);
    let head = server.requests.lock().unwrap()[0].0.to_lowercase();
    assert!(
        head.starts_with("post /graphite/tags/tagmultiseries http/1.1\r\n"),
        "{head}"
    );
    // me:secret
    assert!(
        head.contains("authorization: basic bwu6c2vjcmv0\r\n"),
        "{head}"
    );
    assert!(
        head.contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{head}"
    );
    assert!(!post.shown().contains("secret"));
    let url = server.url("me:secret@", "");
    assert!(!format!("{url:?}").contains("secret"));
}

#[test]
fn anything_but_200_is_a_refusal_and_says_why() {
    let server = Server::start(|number, _| {
        if number == 0 {
            reply(
                "500 Internal Server Error",
                "\n <h1>Cannot parse</h1>\nmore",
            )
        } else {
            "HTTP/1.1 302 Found\r\nLocation: https://else.where/\r\nContent-Length: 0\r\n\r\n"
                .to_owned()
        }
    });
    let mut post = Post::new(&server.url("", ""));
    let failure = post.send(["m;a=1"].into_iter()).unwrap_err();
    assert!(failure.is_refusal());
    assert_eq!(failure.to_string(), "it answers 500: <h1>Cannot parse</h1>");
    let failure = post.send(["m;a=1"].into_iter()).unwrap_err();
    let said = failure.to_string();
    assert_eq!(said, "it answers 302, a redirect to https://else.where/");
    assert_eq!(server.requests.lock().unwrap().len(), 2, "it was followed");
}

#[test]
fn an_https_url_is_really_spoken_to_in_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let hello = std::thread::Builder::new()
        .spawn(move || {
            let mut first = [0; 3];
            listener.accept().unwrap().0.read_exact(&mut first).unwrap();
            first
        })
        .unwrap();
    let mut post = Post::new(&GraphiteUrl::parse(&url).unwrap());
    let failure = post.send(["m;a=1"].into_iter()).unwrap_err();
    assert!(!failure.is_refusal(), "{failure}");
    // A handshake record of TLS.
    assert_eq!(hello.join().unwrap()[..2], [0x16, 3]);
}

#[test]
fn what_cannot_be_posted_waits_and_arrives_once_graphite_web_is_there() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let outlet: Arc<Outlet> = Arc::default();
    let url = GraphiteUrl::parse(&address.to_string()).unwrap();
    let tagdb = TagDb::start(&settings(url), Arc::clone(&outlet)).unwrap();
    for number in 0..250 {
        outlet.news.push(format!("m;n={number}").into()).unwrap();
        outlet.repeats.push(format!("m;n={number}").into()).unwrap();
    }
    let failed = || tagdb.tally.failed.load(Ordering::Relaxed);
    wait_until("failed", || failed() >= 2);
    assert_eq!(tagdb.queued(), 250, "each once");
    let listener = TcpListener::bind(address).unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&seen);
    std::thread::Builder::new()
        .spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let (_, body) = read_request(&socket);
                kept.lock().unwrap().extend(paths(&body));
                socket.write_all(reply("200 OK", "[]").as_bytes()).unwrap();
            }
        })
        .unwrap();
    wait_until("empty", || tagdb.queued() == 0);
    let expected: Vec<String> = (0..250).map(|number| format!("m;n={number}")).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    let mut stats = Stats::default();
    tagdb.add_to(&mut stats);
    assert_eq!(stats.get(Counter::TagsPosted), 250);
    assert_eq!(stats.get(Counter::TagsFailed), failed());
    tagdb.finish();
}

#[test]
fn a_name_that_is_refused_holds_nobody_up() {
    let server = Server::start(|_, body| {
        if paths(body).iter().any(|path| path == "bad;n=7") {
            reply("500 Internal Server Error", "bad")
        } else {
            reply("200 OK", "[]")
        }
    });
    let outlet: Arc<Outlet> = Arc::default();
    let tagdb = TagDb::start(&settings(server.url("", "")), Arc::clone(&outlet)).unwrap();
    for number in 0..20 {
        let name = if number == 7 { "bad" } else { "good" };
        outlet
            .news
            .push(format!("{name};n={number}").into())
            .unwrap();
    }
    wait_until("posted", || {
        tagdb.tally.posted.load(Ordering::Relaxed) == 19
    });
    assert_eq!(tagdb.queued(), 1);
    tagdb.finish();
}

#[test]
fn a_stop_posts_what_waits() {
    let server = Server::start(|_, _| reply("200 OK", "[]"));
    let outlet: Arc<Outlet> = Arc::default();
    let tagdb = TagDb::start(&settings(server.url("", "")), Arc::clone(&outlet)).unwrap();
    for number in 0..1000 {
        outlet.news.push(format!("m;n={number}").into()).unwrap();
    }
    tagdb.finish();
    assert_eq!(server.paths().len(), 1000);
}

#[test]
fn urls_are_read_as_python_carbon_reads_them() {
    for (text, shown) in [
        ("http://127.0.0.1:80", "http://127.0.0.1:80"),
        ("https://graphite.example/", "https://graphite.example"),
        ("http://me:pw@web:8080/sub/", "http://web:8080/sub"),
        ("graphite.example", "http://graphite.example"),
        ("[::1]:8080", "http://[::1]:8080"),
    ] {
        assert_eq!(GraphiteUrl::parse(text).unwrap().shown(), shown, "{text}");
    }
    for text in [
        "",
        "ftp://web",
        "http://",
        "http://web/?a=b",
        "a b",
        "http://me:pw",
    ] {
        assert!(GraphiteUrl::parse(text).is_err(), "{text}");
    }
}
