//! What a run has written, as a part of a page.

use super::backend::{Backend, PageError};
use super::page::sentence;
use crate::report::{format_count, text};
use crate::varlink::cron::{OutputArguments, OutputPart};
use crate::varlink::history::{self, RunArguments};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{Markup, html};

/// Most bytes that a page shows at once.
const MOST: usize = 256 << 10;

/// The output of a run.
#[derive(Debug)]
pub enum Shown {
    /// What a run in progress has written so far; the script follows it.
    Live(Markup),
    /// What was kept of a run that has ended.
    Kept(Markup),
    /// There is nothing to show, and why.
    None(String),
}

/// The output of a run: of a run in progress, else what the history kept.
pub fn of_run(daemon: &mut Backend, run: u64) -> Shown {
    match live(daemon, run) {
        Ok(parts) => return Shown::Live(parts),
        Err(PageError::NotFound(_)) => {}
        Err(fault) => return Shown::None(fault.to_string()),
    }
    let kept =
        daemon.history().and_then(|mut history| history.call::<history::Output>("Output", &RunArguments { run }));
    match kept {
        Ok(output) => Shown::Kept(kept_output(&output)),
        Err(PageError::Denied(_)) => {
            Shown::None("the output is shown to the owner of the crontab and to root only".to_owned())
        }
        Err(fault) => Shown::None(fault.to_string()),
    }
}

fn live(daemon: &mut Backend, run: u64) -> Result<Markup, PageError> {
    let (mut parts, mut size, mut split_characters) = (Vec::new(), 0, SplitCharacters::default());
    daemon.another()?.call_more("Output", &OutputArguments { run, follow: Some(false) }, |part: OutputPart| {
        size += part.data.len();
        parts.push(split_characters.text(&part));
        size < MOST
    })?;
    parts.extend(split_characters.rest());
    Ok(html! {
        @for (is_error, text) in parts { @if is_error { span.error { (text) } } @else { (text) } }
    })
}

/// The incomplete UTF-8 characters at the ends of the last parts of standard output and of standard error. Their other bytes come with the next parts.
#[derive(Debug, Default)]
pub struct SplitCharacters {
    begun: [Vec<u8>; 2],
}

impl SplitCharacters {
    /// Whether a part was written to standard error, and its text without an incomplete character at its end.
    pub fn text(&mut self, part: &OutputPart) -> (bool, String) {
        let is_error = part.stream == "error";
        let [of_output, of_error] = &mut self.begun;
        let begun = if is_error { of_error } else { of_output };
        let mut bytes = std::mem::take(begun);
        bytes.extend(decoded(&part.data, part.base64));
        *begun = bytes.split_off(bytes.len() - text::unfinished(&bytes));
        (is_error, text::output(&bytes))
    }

    /// The incomplete characters that are left when no part follows.
    pub fn rest(&mut self) -> Vec<(bool, String)> {
        let begun = std::mem::take(&mut self.begun).into_iter().zip([false, true]);
        begun.filter(|(bytes, _)| !bytes.is_empty()).map(|(bytes, is_error)| (is_error, text::output(&bytes))).collect()
    }
}

fn kept_output(output: &history::Output) -> Markup {
    let (head, tail) = (decoded(&output.head, output.base64), decoded(&output.tail, output.base64));
    html! {
        (text::output(head.get(..MOST).unwrap_or(&head)))
        @if output.cut > 0 {
            @if !head.ends_with(b"\n") { "\n" }
            span.note { "[" (format_count(output.cut, "byte was", "bytes were")) " not kept]" } "\n"
        }
        (text::output(tail.get(tail.len().saturating_sub(MOST)..).unwrap_or_default()))
    }
}

fn decoded(data: &str, is_base64: bool) -> Vec<u8> {
    if is_base64 { BASE64_STANDARD.decode(data).unwrap_or_default() } else { data.as_bytes().to_vec() }
}

/// The box with the output of a run.
pub fn output_box(run: u64, shown: &Shown) -> Markup {
    html! {
        @match shown {
            Shown::Live(text) => pre.output tabindex="0" role="log" aria-label={ "Output of run " (run) } data-follow={ "/run/" (run) "/output" } { (text) },
            Shown::Kept(text) => {
                @let is_empty = text.0.is_empty();
                @if is_empty { p.empty { "It has written nothing." } } @else {
                    pre.output tabindex="0" role="region" aria-label={ "Output of run " (run) } { (text) }
                }
            }
            Shown::None(why) => p.empty { (sentence(why)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(stream: &str, bytes: &[u8]) -> OutputPart {
        OutputPart { stream: stream.to_owned(), data: BASE64_STANDARD.encode(bytes), base64: true }
    }

    #[test]
    fn a_letter_that_comes_in_two_parts_is_whole() {
        let mut split_characters = SplitCharacters::default();
        assert_eq!(split_characters.text(&part("output", b"a\xe2\x80")), (false, "a".to_owned()));
        assert_eq!(split_characters.text(&part("error", b"b\xc3")), (true, "b".to_owned()));
        assert_eq!(split_characters.text(&part("output", b"\xa6c")), (false, "…c".to_owned()));
        assert_eq!(split_characters.rest(), [(true, "\\xc3".to_owned())]);
        assert_eq!(split_characters.rest(), []);
    }
}
