//! Any text as /etc/cronwheel.toml: what is wrong is told on one short line with its place, and values that are written again are the same values.

use cronwheel::config::{Config, ConfigFile, FleetConfig, LogTarget, Values, WatchMode, fleet_keys, keys};
use cronwheel::profile::ProfileName;
use std::path::{Path, PathBuf};

pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let path = Path::new("/c");
    let file = match ConfigFile::parse(path, text) {
        Ok(file) => file,
        Err(error) => return check_message(&error.to_string(), text),
    };
    if let Err(error) = file.check() {
        check_message(&error.to_string(), text);
    }
    match file.check_only(&["spool", "profile"]) {
        Ok(warnings) => warnings.iter().for_each(|warning| check_message(warning, text)),
        Err(error) => check_message(&error.to_string(), text),
    }
    let is_good = file.check().is_ok();
    assert_eq!(is_good, file.check_only(keys()).is_ok_and(|warnings| warnings.is_empty()));
    let values = file.into_values();
    let written = written(&values);
    let again = ConfigFile::parse(path, &written).unwrap_or_else(|error| panic!("{written}: {error}"));
    again.check().unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again.into_values(), values, "{written}");
    let config = Config::resolve(ProfileName::Debian, Values::default(), values.clone());
    assert!(config.places.spool == values.spool.unwrap_or_else(|| config.profile.spool.into()));
    assert!(config.history.days >= 1 && config.history.runs >= 1);
}

fn check_message(message: &str, text: &str) {
    assert!(message.lines().count() == 1 && message.len() < 1_500 && !message.contains('\u{1b}'), "{message:?}");
    let mut place = message.strip_prefix("/c:").expect("the path").splitn(3, ':').map(str::parse::<usize>);
    let (line, column) = (place.next().unwrap().unwrap(), place.next().unwrap().unwrap());
    let lines: Vec<&str> = text.split('\n').collect();
    assert!(line <= lines.len() && (1..=lines[line - 1].chars().count() + 1).contains(&column), "{message}");
}

/// The text of a configuration file with these values.
fn written(values: &Values) -> String {
    let Values {
        profile,
        spool,
        system_crontab,
        cron_d,
        run_dir,
        state_dir,
        anacrontab,
        anacron_stamps,
        log,
        mailer,
        foreground,
        control_group,
        view_group,
        watch,
        stop_timeout,
        starts_in_flight,
        history,
        history_days,
        history_output,
        history_runs,
        history_size,
        metrics_jobs,
        fleet,
    } = values.clone();
    let text = |text: String| serde_json::to_string(&text).unwrap().replace('\u{7f}', "\\u007f");
    let path = |path: Option<PathBuf>| path.map(|path| text(path.to_str().unwrap().to_owned()));
    let number = |number: u64| if number > i64::MAX as u64 { format!("\"{number}\"") } else { number.to_string() };
    let log = log.map(|log| match log {
        LogTarget::Syslog => "syslog",
        LogTarget::Journal => "journal",
        LogTarget::Stderr => "stderr",
        LogTarget::Json => "json",
    });
    let watch = watch.map(|watch| match watch {
        WatchMode::Auto => "auto",
        WatchMode::Inotify => "inotify",
        WatchMode::Poll => "poll",
    });
    let profile = profile.map(|profile| match profile {
        ProfileName::Debian => "debian",
        ProfileName::Cronie => "cronie",
    });
    let lines = [
        ("profile", profile.map(|name| text(name.to_owned()))),
        ("spool", path(spool)),
        ("system-crontab", path(system_crontab)),
        ("cron-d", path(cron_d)),
        ("run-dir", path(run_dir)),
        ("state-dir", path(state_dir)),
        ("anacrontab", path(anacrontab)),
        ("anacron-stamps", path(anacron_stamps)),
        ("log", log.map(|name| text(name.to_owned()))),
        ("mailer", mailer.map(text)),
        ("foreground", foreground.map(|is| is.to_string())),
        ("control-group", control_group.map(text)),
        ("view-group", view_group.map(text)),
        ("watch", watch.map(|name| text(name.to_owned()))),
        ("stop-timeout", stop_timeout.map(|time| format!("\"{}\"", time.as_secs()))),
        ("starts-in-flight", starts_in_flight.map(|starts| number(starts.get() as u64))),
        ("history", history.map(|is| is.to_string())),
        ("history-days", history_days.map(|days| days.to_string())),
        ("history-output", history_output.map(number)),
        ("history-runs", history_runs.map(|runs| runs.to_string())),
        ("history-size", history_size.map(number)),
        ("metrics-jobs", metrics_jobs.map(|jobs| jobs.to_string())),
    ];
    assert_eq!(lines.len(), keys().len());
    let lines: String = lines.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}\n", value?))).collect();
    lines + &fleet.map(written_fleet).unwrap_or_default()
}

/// The section `[fleet]`.
fn written_fleet(fleet: FleetConfig) -> String {
    let FleetConfig { name, endpoints, ca, identity, login, node, labels, weight, zone } = fleet;
    let text = |text: &str| serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f");
    let path = |path: &Path| text(path.to_str().unwrap());
    let list = |list: &[String]| format!("[{}]", list.iter().map(|item| text(item)).collect::<Vec<_>>().join(", "));
    let lines = [
        ("name", Some(text(&name))),
        ("endpoints", Some(list(&endpoints))),
        ("ca", ca.as_deref().map(path)),
        ("cert", identity.as_ref().map(|(cert, _)| path(cert))),
        ("key", identity.as_ref().map(|(_, key)| path(key))),
        ("user", login.as_ref().map(|(user, _)| text(user))),
        ("password-file", login.as_ref().map(|(_, file)| path(file))),
        ("node", node.as_deref().map(text)),
        ("labels", Some(list(&labels))),
        ("weight", Some(weight.to_string())),
        ("zone", Some(text(&zone))),
    ];
    assert_eq!(lines.len(), fleet_keys().len());
    let lines = lines.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}\n", value?)));
    "[fleet]\n".to_owned() + &lines.collect::<String>()
}
