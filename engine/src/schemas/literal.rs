//! The text that a name must hold so that a pattern can occur in it: letters that the pattern names
//! one after the other, whatever stands around them. A name without that text need not be searched.
//! Read from fancy-regex's own parse of the translated pattern, so that both mean the same by it.
//! Never says a text that a match can do without: one of several branches, what may be left out, a
//! class, a condition, and letters of either case say nothing. In doubt there is none.

use fancy_regex::{Expr, LookAround};

/// The longest text that is in every name in which the pattern occurs; none where there is none for
/// certain. The pattern is in fancy-regex's syntax.
pub(super) fn required(pattern: &str) -> Option<String> {
    let tree = Expr::parse_tree(pattern).ok()?;
    let mut texts = Texts::default();
    texts.read(&tree.expr);
    texts.end_run();
    (!texts.longest.is_empty()).then_some(texts.longest)
}

/// The letters of a pattern in their order.
#[derive(Default)]
struct Texts {
    /// Letters that follow one another up to where the reading is.
    run: String,
    longest: String,
}

impl Texts {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is not known to be letters ends a run, whatever the parser will know besides"
    )]
    fn read(&mut self, expr: &Expr) {
        match expr {
            Expr::Literal { val, casei: false } => self.run.push_str(val),
            Expr::Concat(parts) => parts.iter().for_each(|part| self.read(part)),
            Expr::Group(inner) => self.read(inner),
            Expr::AtomicGroup(inner) => self.read(inner),
            // They take no letters: what is behind follows what is before.
            Expr::Empty
            | Expr::Assertion(_)
            | Expr::LookAround(_, LookAround::LookAheadNeg | LookAround::LookBehindNeg) => {}
            Expr::LookAround(inner, LookAround::LookAhead | LookAround::LookBehind) => {
                let before = std::mem::take(&mut self.run);
                self.read(inner);
                self.end_run();
                self.run = before;
            }
            // The first time follows what is before; what is behind follows the last.
            Expr::Repeat { child, lo: 1.., .. } => {
                self.read(child);
                self.end_run();
            }
            _ => self.end_run(),
        }
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.len() > self.longest.len() {
            self.longest = run;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::schemas::pattern::Pattern;

    #[test]
    fn the_longest_text_that_no_match_can_do_without() {
        for (pattern, text) in [
            ("b", "b"),
            (r"^stats\.web1\.", "stats.web1."),
            (r"^stats\.(?!gauges\.)x", "stats.x"),
            (r"(?<!a)b(?=\.cpu$)", ".cpu"),
            (r"(?<=^servers\.)\w+", "servers."),
            (r"^(servers)\.(?P<rest>app)", "servers.app"),
            (r"(?:ab(?>cd))e", "abcde"),
            (r"^a\bb\Bc\Z", "abc"),
            ("xab+cd?", "xab"),
            ("(ab){2,3}x", "ab"),
            ("ab{0,3}c|", ""),
            ("a(bcd)?e(fg)*", "a"),
            ("a|b", ""),
            ("(ab|cd)x", "x"),
            ("(?i)abc", ""),
            ("a(?i:bcd)e", "a"),
            (r"(a)(?(1)bcd|efg)", "a"),
            (r"(a)?(?(1)bcd)", ""),
            (r"^(ab)\1c", "ab"),
            (r"[abc]d\d", "d"),
            ("[a]", ""),
            ("a.b", "a"),
            (".*", ""),
            ("", ""),
            (r"\x61\056{2}", "a."),
            ("caf\u{e9}+s", "caf\u{e9}"),
        ] {
            let found = Pattern::new(pattern).unwrap().literal();
            let text = Some(text).filter(|text| !text.is_empty());
            assert_eq!(found.as_deref(), text, "{pattern}");
        }
    }
}
