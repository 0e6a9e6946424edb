//! Python's `re` syntax, written anew in the syntax of fancy-regex.
//! The two differ in `\Z`, in octal escapes, in what may be escaped, in braces that are no
//! quantifier, in `[` and set operators within classes, in comments, in named conditions, and in
//! what one has and the other does not. Everything is written out so that no character has
//! a meaning for the compiler that it lacks in Python.
//! Never decides whether a pattern makes sense beyond that: the compiler does.
//! Not supported: the flags `x`, `a` and `L`, and `\N{...}`.

use super::pattern::PatternError;

/// Characters that mean something to the compiler outside a class.
const META: &str = r"\.+*?()|[]{}^$";

/// The pattern in fancy-regex's syntax.
pub(super) fn translate(python: &str) -> Result<String, PatternError> {
    let mut translator = Translator {
        pattern: python.chars().collect(),
        at: 0,
        out: String::with_capacity(python.len() + 16),
        repeat: Repeat::Nothing,
    };
    while let Some(c) = translator.next() {
        translator.item(c)?;
    }
    Ok(translator.out)
}

/// Whether a quantifier may follow.
#[derive(Clone, Copy, PartialEq)]
enum Repeat {
    /// There is something before it.
    Possible,
    /// At the start of a pattern, group or branch.
    Nothing,
    /// Behind another quantifier.
    Twice,
}

struct Translator {
    pattern: Vec<char>,
    at: usize,
    out: String,
    repeat: Repeat,
}

/// A member of a class.
enum Member {
    Character(char),
    /// `\d` and its like, kept as written.
    Category(char),
}

impl Translator {
    fn item(&mut self, c: char) -> Result<(), PatternError> {
        let start = self.at - 1;
        match c {
            '*' | '+' | '?' => return self.quantifier(&c.to_string(), start),
            '{' => {
                if let Some(quantifier) = self.braces(start)? {
                    return self.quantifier(&quantifier, start);
                }
                self.literal('{');
            }
            '(' => return self.group(start),
            '[' => self.class(start)?,
            '\\' => self.escape(start)?,
            '|' | '^' => {
                self.out.push(c);
                self.repeat = Repeat::Nothing;
                return Ok(());
            }
            ')' | '$' | '.' => self.out.push(c),
            _ => self.literal(c),
        }
        self.repeat = Repeat::Possible;
        Ok(())
    }

    fn quantifier(&mut self, text: &str, start: usize) -> Result<(), PatternError> {
        match self.repeat {
            Repeat::Possible => {}
            Repeat::Nothing => {
                return Err(self.unsupported(start, "there is nothing before it to repeat"));
            }
            Repeat::Twice => {
                return Err(self.unsupported(start, "put a group around what is repeated twice"));
            }
        }
        self.out.push_str(text);
        if let Some(mode @ ('?' | '+')) = self.peek() {
            self.at += 1;
            self.out.push(mode);
        }
        self.repeat = Repeat::Twice;
        Ok(())
    }

    /// `{n}`, `{n,}`, `{,m}` or `{n,m}` behind its opening brace, consumed; None where the brace is
    /// an ordinary character.
    fn braces(&mut self, start: usize) -> Result<Option<String>, PatternError> {
        let Some(length) = self.pattern[self.at..].iter().position(|c| *c == '}') else {
            return Ok(None);
        };
        let inner: String = self.pattern[self.at..self.at + length].iter().collect();
        let (low, high) = inner.split_once(',').unwrap_or((&inner, &inner));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if inner.is_empty() || !digits(low) || !digits(high) {
            return Ok(None);
        }
        self.at += length + 1;
        let low = if low.is_empty() { "0" } else { low };
        if !inner.contains(',') {
            return Ok(Some(format!("{{{low}}}")));
        }
        // Numbers beyond 64 bits are the compiler's to refuse.
        if let (Ok(low), Ok(high)) = (low.parse::<u64>(), high.parse::<u64>())
            && low > high
        {
            return Err(self.unsupported(start, "the larger number comes last"));
        }
        Ok(Some(format!("{{{low},{high}}}")))
    }

    fn group(&mut self, start: usize) -> Result<(), PatternError> {
        let before = std::mem::replace(&mut self.repeat, Repeat::Nothing);
        if self.peek() != Some('?') {
            self.out.push('(');
            return Ok(());
        }
        self.at += 1;
        for plain in [":", "=", "!", "<=", "<!", ">"] {
            if self.take(plain) {
                self.out.push_str("(?");
                self.out.push_str(plain);
                return Ok(());
            }
        }
        if self.take("#") {
            self.until(')', start)?;
            self.repeat = before;
        } else if self.take("P<") || self.take("<") {
            let name = self.until('>', start)?;
            self.out.extend(["(?P<", &name, ">"]);
        } else if self.take("P=") {
            let name = self.until(')', start)?;
            self.out.push_str("(?P=");
            self.out.push_str(&name);
            self.out.push(')');
            self.repeat = Repeat::Possible;
        } else if self.take("(") {
            let condition = self.until(')', start)?;
            let by_number = condition.bytes().all(|byte| byte.is_ascii_digit());
            let (open, close) = if by_number {
                ("(?(", ")")
            } else {
                ("(?(<", ">)")
            };
            self.out.extend([open, &condition, close]);
        } else {
            self.flags(start)?;
        }
        Ok(())
    }

    /// `(?i)` and `(?i-s:`. Unicode is what both sides do unless told otherwise.
    fn flags(&mut self, start: usize) -> Result<(), PatternError> {
        let mut flags = String::new();
        let end = loop {
            match self.next() {
                Some('u') => {}
                Some(flag @ ('i' | 'm' | 's' | '-')) => flags.push(flag),
                Some(end @ (')' | ':')) => break end,
                Some('x') => {
                    return Err(self.unsupported(start, "write the pattern without white space"));
                }
                Some('a' | 'L') => {
                    return Err(self.unsupported(start, "write [0-9] or [a-zA-Z0-9_] instead"));
                }
                Some(_) => return Err(self.unsupported(start, "write '\\(' for a parenthesis")),
                None => return Err(self.unfinished(start)),
            }
        };
        if end == ':' || !flags.is_empty() {
            self.out.push_str("(?");
            self.out.push_str(&flags);
            self.out.push(end);
        }
        Ok(())
    }

    /// Behind a backslash, outside a class.
    fn escape(&mut self, start: usize) -> Result<(), PatternError> {
        let Some(c) = self.next() else {
            return Err(self.unfinished(start));
        };
        match c {
            'A' | 'b' | 'B' | 'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.out.extend(['\\', c]),
            'Z' => self.out.push_str("\\z"),
            '1'..='9' if !self.is_octal_triple(c) => {
                let second = self.peek().filter(char::is_ascii_digit);
                self.at += usize::from(second.is_some());
                self.out.extend(["(?:\\", &c.to_string()]);
                self.out.extend(second);
                self.out.push(')');
            }
            _ => {
                let c = self.escaped_character(c, start)?;
                self.literal(c);
            }
        }
        Ok(())
    }

    /// The character that `\c` stands for, inside a class or outside.
    fn escaped_character(&mut self, c: char, start: usize) -> Result<char, PatternError> {
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hexadecimal(2, start)?,
            'u' => self.hexadecimal(4, start)?,
            'U' => self.hexadecimal(8, start)?,
            '0'..='7' => self.octal(c, start)?,
            _ if c.is_ascii_alphanumeric() => {
                return Err(self.unsupported(start, "Python does not know this escape either"));
            }
            _ => c,
        })
    }

    fn hexadecimal(&mut self, digits: usize, start: usize) -> Result<char, PatternError> {
        let mut value = 0;
        for _ in 0..digits {
            let Some(digit) = self.next().and_then(|c| c.to_digit(16)) else {
                return Err(self.unfinished(start));
            };
            // Eight digits fill 32 bits exactly.
            value = (value << 4) | digit;
        }
        let mend = "there is no such character";
        char::from_u32(value).ok_or_else(|| self.unsupported(start, mend))
    }

    /// Up to three octal digits, the first of which is `first`.
    fn octal(&mut self, first: char, start: usize) -> Result<char, PatternError> {
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                break;
            };
            self.at += 1;
            value = value * 8 + digit;
        }
        let byte = u8::try_from(value).ok();
        byte.map(char::from)
            .ok_or_else(|| self.unsupported(start, "octal escapes end at \\377"))
    }

    /// Whether a digit and the next two are an octal escape rather than a group's number.
    fn is_octal_triple(&self, first: char) -> bool {
        let next = self.pattern.get(self.at..self.at + 2);
        next.is_some_and(|next| next.iter().chain([&first]).all(|c| c.is_digit(8)))
    }

    fn class(&mut self, start: usize) -> Result<(), PatternError> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let first = self.at;
        loop {
            let from = self.at;
            let member = match self.next() {
                Some(']') if from > first => break,
                Some(c) => self.member(c)?,
                None => return Err(self.unfinished(start)),
            };
            self.push_member(&member);
            if self.peek() != Some('-') {
                continue;
            }
            self.at += 1;
            let to = match self.next() {
                Some(']') => {
                    self.push_member(&Member::Character('-'));
                    break;
                }
                Some(c) => self.member(c)?,
                None => return Err(self.unfinished(start)),
            };
            let ordered = match (&member, &to) {
                (Member::Character(low), Member::Character(high)) => low <= high,
                _ => false,
            };
            if !ordered {
                return Err(self.unsupported(from, "a range goes from one character up to another"));
            }
            self.out.push('-');
            self.push_member(&to);
        }
        self.out.push(']');
        Ok(())
    }

    fn member(&mut self, c: char) -> Result<Member, PatternError> {
        let start = self.at - 1;
        if c != '\\' {
            return Ok(Member::Character(c));
        }
        match self.next() {
            None => Err(self.unfinished(start)),
            Some(category @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => Ok(Member::Category(category)),
            Some('b') => Ok(Member::Character('\u{8}')),
            Some(c) => self.escaped_character(c, start).map(Member::Character),
        }
    }

    /// Punctuation goes in by number, so that none of it is a bracket or a set operator.
    fn push_member(&mut self, member: &Member) {
        match member {
            Member::Category(c) => self.out.extend(['\\', *c]),
            Member::Character(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => {
                self.out.extend([format!("\\x{{{:x}}}", u32::from(*c))]);
            }
            Member::Character(c) => self.out.push(*c),
        }
    }

    fn literal(&mut self, c: char) {
        if META.contains(c) {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn take(&mut self, text: &str) -> bool {
        let count = text.chars().count();
        let next = self.pattern.get(self.at..self.at + count);
        let found = next.is_some_and(|next| next.iter().copied().eq(text.chars()));
        self.at += if found { count } else { 0 };
        found
    }

    /// What stands before the next `end`, which is consumed.
    fn until(&mut self, end: char, start: usize) -> Result<String, PatternError> {
        let Some(length) = self.pattern[self.at..].iter().position(|c| *c == end) else {
            return Err(self.unfinished(start));
        };
        let text = self.pattern[self.at..self.at + length].iter().collect();
        self.at += length + 1;
        Ok(text)
    }

    fn unsupported(&self, start: usize, mend: &'static str) -> PatternError {
        PatternError::Unsupported {
            construct: self.construct(start),
            at: start + 1,
            mend,
        }
    }

    fn unfinished(&self, start: usize) -> PatternError {
        PatternError::Unfinished {
            construct: self.construct(start),
            at: start + 1,
        }
    }

    fn construct(&self, start: usize) -> String {
        self.pattern[start..self.at].iter().take(20).collect()
    }
}
