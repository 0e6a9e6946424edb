//! What may be shown of what stands in a configuration file: logs and reports are read by many and mailed
//! around, and some values hold passwords.
//! Pure: text in, text out. Invariant: of a user and password before an `@` nothing is shown, and of an
//! option that is a secret as a whole neither.

/// What stands for what is not shown.
const HIDDEN: &str = "***";

/// Parts of the names of options whose values are secrets.
const SECRETS: [&str; 4] = ["PASSWORD", "DSN", "_KEY", "AMQP_USER"];

/// An option that is a URL, in which a password may stand.
const URL: &str = "GRAPHITE_URL";

/// Whether nothing of an option's value may be shown.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|part| name.contains(part))
}

/// What may be shown of an option's value.
pub(super) fn shown(name: &str, text: &str) -> String {
    if is_secret(name) && !text.is_empty() {
        return HIDDEN.to_owned();
    }
    let begin = text.find("://").map_or(0, |at| at + "://".len());
    // A password may hold any sign, and so the last one counts.
    let end = match text.rfind('@') {
        Some(at) => at,
        None if name == URL && !has_plain_host(&text[begin..]) => text.len(),
        None => return text.to_owned(),
    };
    let begin = if begin <= end { begin } else { 0 };
    format!("{}{HIDDEN}{}", &text[..begin], &text[end..])
}

/// The same of a whole line, which may be another option's.
pub(super) fn shown_line(line: &str) -> String {
    match line.split_once(['=', ':']) {
        Some((key, _)) if is_secret(&key.to_uppercase()) => format!("{key}= {HIDDEN}"),
        Some(_) | None => shown("", line),
    }
}

/// `host`, `host:port`, with a path behind it: a user whose password was cut off does not look so.
fn has_plain_host(rest: &str) -> bool {
    let host = rest.split('/').next().unwrap_or_default();
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    host.starts_with('[') || port.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_not_shown() {
        for (name, text, want) in [
            (
                "GRAPHITE_URL",
                "http://web:8080/graphite",
                "http://web:8080/graphite",
            ),
            ("GRAPHITE_URL", "http://[::1]:8080", "http://[::1]:8080"),
            ("GRAPHITE_URL", "ftp://me:pass@web/x", "ftp://***@web/x"),
            ("GRAPHITE_URL", "http://me:p@ss #1@web", "http://***@web"),
            ("GRAPHITE_URL", "me:pass@web", "***@web"),
            ("GRAPHITE_URL", "http://me:pass", "http://***"),
            ("GRAPHITE_URL", "me@x://web", "***@x://web"),
            ("GRAPHITE_URL", "http://", "http://"),
            ("GRAPHITE_URL", "", ""),
            ("RAVEN_DSN", "https://key:secret@sentry/1", "***"),
            ("RAVEN_DSN", "secret", "***"),
            ("RAVEN_DSN", "", ""),
            ("AMQP_PASSWORD", "guest", "***"),
            ("MANHOLE_PUBLIC_KEY", "ssh-rsa AAAA", "***"),
            ("MAX_CACHE_SIZE", "lots", "lots"),
            ("LOG_DIR", "http://me:pass@web", "http://***@web"),
        ] {
            assert_eq!(shown(name, text), want, "{name} = {text}");
        }
        for (line, want) in [
            ("USER = carbon", "USER = carbon"),
            ("amqp_password = guest", "amqp_password = ***"),
            ("RAVEN_DSN: secret", "RAVEN_DSN= ***"),
            (
                "GRAPHITE_URL = http://me:pass@web",
                "GRAPHITE_URL = http://***@web",
            ),
        ] {
            assert_eq!(shown_line(line), want);
        }
    }
}
