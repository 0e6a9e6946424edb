//! One post to graphite-web: a form with the field `path` for each series, as go-carbon sends it;
//! Python carbon sends the same fields as multipart.
//! Waits for at most five seconds in all. Follows no redirect and uses no proxy of the environment:
//! what GRAPHITE_URL says is where it goes. HTTPS is checked against the certificates that SSL_CERT_FILE
//! and SSL_CERT_DIR name, else the system's, as Python's is; after a failure they are read again.
//! Never shows the user and password that may stand in the URL.

use std::io::Read as _;

use benzene_engine::limits::{TAG_ANSWER_BYTES_MAX, TAG_POST_TIMEOUT};
use rustls::CertificateError;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};

/// What is posted to below GRAPHITE_URL.
const TAG_MULTI_SERIES: &str = "/tags/tagMultiSeries";

/// GRAPHITE_URL, checked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct GraphiteUrl {
    /// Where series are posted to.
    url: String,
    /// The same without user and password.
    shown: String,
}

/// Why GRAPHITE_URL is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// It does not read as a URL.
    #[error("that is no URL ({0})")]
    Unreadable(String),
    /// Another scheme than http and https.
    #[error("{0} is no way to graphite-web")]
    Scheme(String),
    /// There is no host in it.
    #[error("there is no host in it")]
    NoHost,
}

impl GraphiteUrl {
    /// Reads GRAPHITE_URL; without a scheme it is http, as in Python carbon.
    pub(crate) fn parse(text: &str) -> Result<GraphiteUrl, UrlError> {
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let base = whole.trim_end_matches('/');
        let uri: Uri = base
            .parse()
            .map_err(|error| UrlError::Unreadable(format!("{error}")))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            other => return Err(UrlError::Scheme(other.unwrap_or_default().to_owned())),
        }
        if uri.query().is_some() {
            return Err(UrlError::Unreadable("it has a question mark".to_owned()));
        }
        let Some(authority) = uri.authority().filter(|it| !it.host().is_empty()) else {
            return Err(UrlError::NoHost);
        };
        let place = authority.as_str();
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        let port = host.strip_prefix(authority.host()).unwrap_or_default();
        if port.len() > 1 && authority.port_u16().is_none() {
            return Err(UrlError::Unreadable("its port is no number".to_owned()));
        }
        let path = uri.path().trim_end_matches('/');
        let scheme = uri.scheme_str().unwrap_or_default();
        Ok(GraphiteUrl {
            url: format!("{base}{TAG_MULTI_SERIES}"),
            shown: format!("{scheme}://{host}{path}"),
        })
    }

    /// Without user and password.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

impl std::fmt::Debug for GraphiteUrl {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "GraphiteUrl({})", self.shown)
    }
}

/// Why a post was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody answered, or no answer could be read.
    #[error("{0}")]
    Silent(Box<ureq::Error>),
    /// It has not proved who it is.
    #[error(
        "its certificate is not accepted: {0}; trusted is what SSL_CERT_FILE and SSL_CERT_DIR name, or \
         else what the system trusts"
    )]
    Untrusted(String),
    /// It answered something else than that it has taken them.
    #[error("it answers {status}{said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The start of what it said, with a colon before it; or where it says to go.
        said: String,
    },
}

impl Failure {
    /// Whether there was an answer.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Failure::Refused { .. })
    }
}

/// Posts to one graphite-web.
pub(super) struct Post {
    agent: Agent,
    url: GraphiteUrl,
}

impl Post {
    pub(super) fn new(url: &GraphiteUrl) -> Post {
        Post {
            agent: Post::agent(),
            url: url.clone(),
        }
    }

    fn agent() -> Agent {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .timeout_global(Some(TAG_POST_TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .proxy(None)
            // A server that closes a kept connection would look like one that is away.
            .max_idle_connections(0)
            .user_agent(concat!("benzene/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        config.into()
    }

    /// Where it posts to, for the log.
    pub(super) fn shown(&self) -> &str {
        self.url.shown()
    }

    /// Posts these series.
    pub(super) fn send<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Result<(), Failure> {
        let form = names.map(|name| ("path", name));
        let mut response = match self.agent.post(&self.url.url).send_form(form) {
            Ok(response) => response,
            Err(error) => {
                // An agent keeps the certificates that it has read once.
                self.agent = Post::agent();
                return Err(distrust(&error)
                    .map_or_else(|| Failure::Silent(Box::new(error)), Failure::Untrusted));
            }
        };
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        let location = response.headers().get("location");
        let said = match location.and_then(|to| to.to_str().ok()) {
            Some(to) => format!(", a redirect to {to}"),
            None => first_words(response.body_mut().as_reader()),
        };
        Err(Failure::Refused { status, said })
    }
}

/// Why its certificate is not accepted, if that is what failed.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "other people's enums, which grow; what they say is said as it is"
)]
fn distrust(error: &ureq::Error) -> Option<String> {
    let cause = match error {
        ureq::Error::Rustls(cause) => cause,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    let certificate = match cause {
        rustls::Error::InvalidCertificate(certificate) => certificate,
        rustls::Error::General(said) => return Some(said.clone()),
        _ => return None,
    };
    let why = match certificate {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "nobody who is trusted has signed it"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "it says that it is an authority's (CA:TRUE), as those of `openssl req -x509` do where \
             nobody says otherwise; make it with -addext basicConstraints=critical,CA:FALSE, or let an \
             authority of your own sign it"
        }
        other => return Some(other.to_string()),
    };
    Some(why.to_owned())
}

/// The first line of an answer that has any words in it.
fn first_words(body: impl std::io::Read) -> String {
    const SHOWN_MAX: usize = 200;
    let mut bytes = Vec::new();
    if body
        .take(TAG_ANSWER_BYTES_MAX)
        .read_to_end(&mut bytes)
        .is_err()
    {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let shown: String = line
        .unwrap_or_default()
        .chars()
        .filter(|letter| !letter.is_control())
        .take(SHOWN_MAX)
        .collect();
    if shown.is_empty() {
        shown
    } else {
        format!(": {shown}")
    }
}
