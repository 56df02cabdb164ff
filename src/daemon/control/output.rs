//! The output of runs, as executors send it.

use super::state::{AwaitedOutput, OutputFollower, Request, RunByHand};
use crate::daemon::reactor::Token;
use crate::daemon::state::Daemon;
use crate::executor::OutputStream;
use crate::scheduler::{RunId, RunRequest};
use crate::varlink::{CallError, Reply, cron};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Clients that may follow output at once, of all users but root: the executor has 64 of them.
const FOLLOWERS_OF_USERS: usize = 48;

impl Daemon {
    /// Starts to send the output of a run: everything so far, and, if the client follows it, new output until the run ends.
    pub(super) fn send_output(&mut self, token: Token, arguments: &cron::OutputArguments) -> Result<(), CallError> {
        let peer = self.peer(token)?;
        let run = RunId(arguments.run);
        let unknown = || CallError::from(cron::Error::NoSuchRun { run: arguments.run });
        if self.runs.get(run).is_none() || !self.may_see_output(&peer, run) {
            return Err(unknown());
        }
        if !self.has_room_for_follower(peer.uid) {
            return Err(cron::Error::Busy { retry_after: 1.0 }.into());
        }
        let follower = token.number();
        let is_sent = match self.executors.old.executor_of(run) {
            Some(executor) => executor.follow(run, follower),
            None => {
                self.executors.current.follow(run, follower);
                true
            }
        };
        if !is_sent {
            let what =
                format!("the output of run {run} cannot be read: its executor is of another version of this program");
            return Err(cron::Error::NotAllowed { what }.into());
        }
        self.control.requests.insert(token, Request::Output(OutputFollower { number: follower, skipped: 0 }));
        if !arguments.follow.unwrap_or(false) {
            self.stop_following(follower);
        }
        Ok(())
    }

    fn has_room_for_follower(&self, uid: u32) -> bool {
        let is_of_user = |token: &Token| self.peer(*token).is_ok_and(|peer| peer.uid != 0);
        uid == 0 || self.control.output_followers().filter(is_of_user).count() < FOLLOWERS_OF_USERS
    }

    /// Has the executor send the output of a manual run to the client that waits for it. To be called when the start has been handed over, so
    /// that nothing has been written yet. Where too many follow output, the client finds it in the history.
    pub(in crate::daemon) fn follow_run_by_hand(&mut self, start: &RunRequest) {
        let is_wanted = |request: &Request| match request {
            Request::Run(by_hand) => by_hand.run == Some(start.run) && matches!(by_hand.output, AwaitedOutput::Wanted),
            _ => false,
        };
        let found = self.control.requests.iter().find(|(_, request)| is_wanted(request)).map(|(token, _)| *token);
        let Some((token, peer)) = found.and_then(|token| Some((token, self.peer(token).ok()?))) else { return };
        if !self.has_room_for_follower(peer.uid) {
            return;
        }
        self.executors.current.follow(start.run, token.number());
        if let Some(Request::Run(by_hand)) = self.control.requests.get_mut(&token) {
            by_hand.output = AwaitedOutput::Followed { skipped: 0, outcome: None };
        }
    }

    fn reply_with_output(&mut self, token: Token, run: RunId, stream: OutputStream, data: Vec<u8>) {
        let result = cron::RunResult { run: run.0, outcome: None, output: Some(part(stream, data)) };
        self.reply(token, &Reply::continued(&result));
    }

    /// Sends a part of the output of a manual run, and after the last one how the run has ended, if that is known.
    fn send_part_by_hand(&mut self, token: Token, stream: OutputStream, left_out: u64, data: Vec<u8>, is_end: bool) {
        let is_behind = self.control.server.as_ref().is_some_and(|server| server.is_behind(token.number()));
        let Some(Request::Run(by_hand)) = self.control.requests.get_mut(&token) else { return };
        let (Some(run), AwaitedOutput::Followed { skipped, outcome }) = (by_hand.run, &mut by_hand.output) else {
            return;
        };
        *skipped = skipped.saturating_add(left_out);
        let mut data = data;
        if is_behind {
            // A client that does not read is not waited for.
            *skipped = skipped.saturating_add(data.len() as u64);
            data.clear();
        }
        let note = (*skipped > 0 && (!is_behind || is_end)).then(|| cut_note(std::mem::take(skipped)));
        let outcome = if is_end { outcome.take() } else { None };
        if is_end {
            by_hand.output = AwaitedOutput::None;
        }
        for data in note.into_iter().chain([data]).filter(|data| !data.is_empty()) {
            self.reply_with_output(token, run, stream, data);
        }
        if let Some(outcome) = outcome {
            // An empty part says that all of the output has been sent. An executor that has refused the follower has done so before the end.
            self.reply_with_output(token, run, OutputStream::Output, Vec::new());
            self.reply(token, &Reply::of(&*outcome));
            self.answer_calls(token);
        }
    }

    /// Has executors send no more output to a client.
    pub(super) fn stop_following(&mut self, follower: u64) {
        self.executors.current.stop_following(follower);
        self.executors.old.stop_following(follower);
    }

    /// Sends a part of the output of a run to the client that follows it.
    pub(in crate::daemon) fn send_output_part(
        &mut self,
        follower: u64,
        stream: OutputStream,
        skipped: u64,
        data: Vec<u8>,
        is_end: bool,
    ) {
        let token = Token::of_number(follower);
        let is_behind = self.control.server.as_ref().is_some_and(|server| server.is_behind(follower));
        if let Some(Request::Run(RunByHand { .. })) = self.control.requests.get(&token) {
            return self.send_part_by_hand(token, stream, skipped, data, is_end);
        }
        // The client may have gone meanwhile.
        let Some(Request::Output(of)) = self.control.requests.get_mut(&token) else { return };
        of.skipped = of.skipped.saturating_add(skipped);
        if is_behind && !is_end {
            // A client that does not read is not waited for.
            of.skipped = of.skipped.saturating_add(data.len() as u64);
            return;
        }
        let skipped = std::mem::take(&mut of.skipped);
        if skipped > 0 {
            self.reply(token, &Reply::continued(&part(stream, cut_note(skipped))));
        }
        match is_end {
            true => {
                self.reply(token, &Reply::of(&part(stream, data)));
                self.answer_calls(token);
            }
            false if data.is_empty() => {}
            false => self.reply(token, &Reply::continued(&part(stream, data))),
        }
    }

    /// Sends a signal to the processes of a run. False: its executor is of another version of this program.
    pub(super) fn signal_run(&mut self, run: RunId, number: i32) -> bool {
        match self.executors.old.executor_of(run) {
            Some(executor) => executor.signal(run, number),
            None => {
                self.executors.current.signal(run, number);
                true
            }
        }
    }
}

fn cut_note(skipped: u64) -> Vec<u8> {
    format!("\n[... {skipped} bytes of output cut here ...]\n").into_bytes()
}

fn part(stream: OutputStream, data: Vec<u8>) -> cron::OutputPart {
    let stream = match stream {
        OutputStream::Output => "output",
        OutputStream::Error => "error",
    };
    let (data, base64) = match String::from_utf8(data) {
        Ok(text) => (text, false),
        Err(bytes) => (BASE64_STANDARD.encode(bytes.as_bytes()), true),
    };
    cron::OutputPart { stream: stream.to_owned(), data, base64 }
}
