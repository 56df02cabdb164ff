//! What a run has written, as a part of a page.

use super::backend::{Backend, Fault};
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
    /// What a run has written so far that goes on; the script follows it.
    Live(Markup),
    /// What was kept of a run that has ended.
    Kept(Markup),
    /// There is nothing to show, and why.
    None(String),
}

/// The output of a run: of one that goes on, else what the history kept.
pub fn of_run(daemon: &mut Backend, run: u64) -> Shown {
    match live(daemon, run) {
        Ok(parts) => return Shown::Live(parts),
        Err(Fault::NotFound(_)) => {}
        Err(fault) => return Shown::None(fault.to_string()),
    }
    let kept =
        daemon.history().and_then(|mut history| history.call::<history::Output>("Output", &RunArguments { run }));
    match kept {
        Ok(output) => Shown::Kept(kept_output(&output)),
        Err(Fault::Denied(_)) => {
            Shown::None("the output is shown to the owner of the crontab and to root only".to_owned())
        }
        Err(fault) => Shown::None(fault.to_string()),
    }
}

fn live(daemon: &mut Backend, run: u64) -> Result<Markup, Fault> {
    let (mut parts, mut size) = (Vec::new(), 0);
    daemon.another()?.call_more("Output", &OutputArguments { run, follow: Some(false) }, |part: OutputPart| {
        size += part.data.len();
        parts.push(part_text(&part));
        size < MOST
    })?;
    Ok(html! {
        @for (is_error, text) in parts { @if is_error { span.error { (text) } } @else { (text) } }
    })
}

/// Whether a part was written to standard error, and its text.
pub fn part_text(part: &OutputPart) -> (bool, String) {
    (part.stream == "error", text::output(&decoded(&part.data, part.base64)))
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
            Shown::None(why) => p.empty { (super::page::sentence(why)) },
        }
    }
}
