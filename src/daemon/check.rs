//! `crond --check`: reads all crontabs as the daemon would, and reports every fault, every refused crontab, every file that is skipped, and what
//! would keep mail, control socket and history from working.

use super::anacron::{self, CheckResult};
use super::check_services;
use super::load_lines::skipped;
use super::settings::Settings;
use super::standalone_files::StandaloneFiles;
use crate::config::FleetPlace;
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::crontab::{Entry, FleetMode, KnownNames};
use crate::profile::shared;
use crate::report::format_count;
use crate::schedule::HostKey;
use crate::scheduler::Source;
use crate::spool::{Found, Refusal, TableFile, ThisMachine, Visitor, unreadable};
use crate::sys::descriptor::StandardStream;
use crate::sys::stamp::Stamp;
use crate::sys::{descriptor, files, host, process};
use crate::users::WaitingUsers;
use std::io;
use std::path::{Path, PathBuf};

/// Counts of crontabs and faults, and the diagnostics.
struct Checker<'a> {
    settings: &'a Settings,
    zones: SystemZones,
    calendars: SystemCalendars,
    machine: ThisMachine,
    host: HostKey,
    tables: usize,
    entries: usize,
    errors: usize,
    warnings: usize,
    refused: usize,
    diagnostics: Vec<u8>,
}

/// Checks the system's crontabs, or only those files. Returns whether no error was found and nothing was refused.
///
/// # Errors
///
/// The result cannot be written to standard output or standard error.
pub fn check(settings: &Settings, files: &[PathBuf]) -> io::Result<bool> {
    let mut checker = Checker {
        settings,
        zones: SystemZones::open(),
        calendars: SystemCalendars::read(Path::new(shared::CALENDARS)),
        machine: ThisMachine::for_commands(),
        host: HostKey::of(&host::identity()),
        tables: 0,
        entries: 0,
        errors: 0,
        warnings: 0,
        refused: 0,
        diagnostics: Vec::new(),
    };
    for fault in &settings.config_faults {
        checker.errors += 1;
        checker.diagnostics.extend_from_slice(format!("{fault}\n").as_bytes());
    }
    if files.is_empty() {
        checker.check_system();
    } else {
        checker.check_files(files);
    }
    checker.report()
}

impl Checker<'_> {
    fn check_system(&mut self) {
        let errors = self.settings.finder().scan(&mut WaitingUsers::default(), self);
        for error in errors {
            let is_closed = error.source.kind() == io::ErrorKind::PermissionDenied && process::own_uid() != 0;
            if is_closed && error.path == self.settings.config.places.spool {
                let spool = error.path.display();
                self.warn(&format!("{spool}: not checked, as only root can list it: run the check as root"));
            } else {
                self.refuse(&error.to_string());
            }
        }
        match anacron::check(self.settings, self.host) {
            Some(CheckResult::Read { jobs, errors, warnings, snippets }) => {
                self.tables += 1;
                self.entries += jobs;
                self.errors += errors;
                self.warnings += warnings;
                self.diagnostics.extend_from_slice(snippets.as_bytes());
            }
            Some(CheckResult::Refused(why)) => self.refuse(&why),
            None => {}
        }
        if self.settings.finder().is_spool_missing() {
            let spool = self.settings.config.places.spool.display();
            self.warn(&format!("{spool}: there is no such directory, so that no user can have a crontab"));
        }
        if let Some(fault) = self.zones.fault() {
            self.warn(&fault);
        }
        let faults: Vec<String> = self.calendars.faults().collect();
        let services = check_services::find_problems(self.settings).into_iter().map(|text| format!("warning: {text}"));
        for fault in faults.into_iter().chain(services) {
            self.warnings += 1;
            self.diagnostics.extend_from_slice(format!("{fault}\n").as_bytes());
        }
    }

    fn check_files(&mut self, files: &[PathBuf]) {
        match StandaloneFiles::new(files) {
            Ok(given) => {
                for path in given.paths() {
                    match given.open(path) {
                        Ok(found) => self.found(found),
                        Err(error) => self.refuse(&error.to_string()),
                    }
                }
            }
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn warn(&mut self, text: &str) {
        self.warnings += 1;
        self.diagnostics.extend_from_slice(format!("warning: {text}\n").as_bytes());
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        self.diagnostics.extend_from_slice(format!("{why}\n").as_bytes());
    }

    fn read(&mut self, source: &Source, file: &TableFile) {
        let profile = self.settings.config.profile;
        let place = self.settings.config.fleet.as_ref().map(|fleet| fleet.place(&self.zones));
        let fleet = place.as_ref().map(FleetPlace::names);
        let known = KnownNames { zones: &self.zones, calendars: Some(self.calendars.calendars()), fleet };
        let parsed = match file.parse(source, &profile.dialect, self.host, known, Some(&self.machine), &mut |_| {}) {
            Ok(parsed) => parsed,
            Err(error) => return self.refuse_table(source, &unreadable(source, &error, profile.profile)),
        };
        self.tables += 1;
        self.entries += parsed.table.entries.len();
        self.errors += parsed.errors().count() + parsed.unlisted.errors;
        self.warnings += parsed.warnings().count() + parsed.unlisted.warnings;
        for diagnostic in &parsed.diagnostics {
            self.diagnostics.extend_from_slice(diagnostic.picture(&source.path).as_bytes());
        }
        self.diagnostics.extend_from_slice(parsed.unlisted.line(&source.path).unwrap_or_default().as_bytes());
        let is_of_fleet = |entry: &Entry| entry.policy().fleet.mode != FleetMode::Each;
        if self.settings.config.fleet.is_none() && parsed.table.entries.iter().any(is_of_fleet) {
            self.warn(&format!(
                "{}: entries with CRON_FLEET=one run on this machine in any case, as there is no section [fleet] in {}",
                source.path,
                shared::CONFIG
            ));
        }
    }

    fn refuse_table(&mut self, source: &Source, refusal: &Refusal) {
        let text = refusal.text().unwrap_or_else(|| format!("({}) user not known yet", refusal.user));
        self.refuse(&format!("{}: refused: {text}", source.path));
    }

    fn report(self) -> io::Result<bool> {
        let Checker { tables, entries, errors, warnings, refused, diagnostics, .. } = self;
        let written = files::write_all(descriptor::standard(StandardStream::Error), &diagnostics);
        let summary = format!(
            "{} with {}, {} refused, {}, {}\n",
            format_count(tables, "table", "tables"),
            format_count(entries, "entry", "entries"),
            refused,
            format_count(errors, "error", "errors"),
            format_count(warnings, "warning", "warnings"),
        );
        files::write_all(descriptor::standard(StandardStream::Output), summary.as_bytes())?;
        written?;
        Ok(errors == 0 && refused == 0)
    }
}

impl Visitor for Checker<'_> {
    fn has(&mut self, _: &str, _: &Stamp) -> bool {
        false
    }

    fn skipped(&mut self, path: &str, rule: &'static str) {
        self.warn(&skipped(path, rule));
    }

    fn found(&mut self, found: Found) {
        match found.content {
            Ok(file) => self.read(&found.source, &file),
            Err(refusal) => self.refuse_table(&found.source, &refusal),
        }
    }
}
