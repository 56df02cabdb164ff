//! The messages of each reference implementation's crontab, which scripts may depend on.

use super::failure::{Failure, UsageFault};
use crate::profile::ProfileName;

/// The messages of one profile.
#[derive(Debug)]
pub struct Words {
    /// The usage text after the line of a usage error.
    pub usage: &'static str,
    /// The line after the diagnostics of a faulty crontab.
    pub faulty: &'static str,
    /// The same if the only fault is a last line without a newline.
    pub unfinished: &'static str,
    /// The message for a checked crontab without faults.
    pub valid: &'static str,
    /// The line after the diagnostics of a faulty crontab that was only checked.
    pub faulty_check: &'static str,
    /// The message for an edit without changes, after the program's name if it is shown.
    pub unchanged: &'static str,
    /// Whether the program's name precedes [`Words::unchanged`].
    pub unchanged_has_prefix: bool,
    /// The choices after the question whether to edit again.
    pub retry_choices: &'static str,
    /// The choices after the question whether to remove a crontab.
    pub remove_choices: &'static str,
    /// The default editors; the first that exists is used.
    pub editors: &'static [&'static str],
    /// The initial text for the edit of a crontab that does not exist.
    pub first_text: &'static str,
    /// The message if the temporary file is not a regular file any more.
    pub not_regular_file: &'static str,
}

static DEBIAN: Words = Words {
    usage: "usage:\tcrontab [-u user] [-n] file
\tcrontab [ -u user ] [ -i ] { -e | -l | -r }

\t-h\t(displays this help message)

\tfile\t(default operation is replace, per 1003.2)
\t-n\t(dry run: checks the syntax, then bails out)
\t-u user\t(choose the user whose crontab is touched)

\t-e\t(edit user's crontab)
\t-l\t(list user's crontab)
\t-r\t(delete user's crontab)

\t-i\t(prompt before deleting user's crontab)",
    faulty: "errors in crontab file, can't install.",
    unfinished: "new crontab file is missing newline before EOF, can't install.",
    valid: "The syntax of the crontab file was successfully checked.",
    faulty_check: "errors in crontab file, can't install.",
    unchanged: "No modification made",
    unchanged_has_prefix: false,
    retry_choices: "(y/n)",
    remove_choices: "(y/n) ",
    editors: &["/usr/bin/sensible-editor", "/usr/bin/editor", "/usr/bin/vi"],
    first_text: "\
# Your crontab: one job a line. Five fields say when it runs, the rest of the
# line is the command, run by /bin/sh in your home directory.
#
#   minute 0-59, hour 0-23, day of month 1-31, month 1-12, day of week 0-7
#   (0 and 7 are Sunday); * is any, 1-5 a range, 1,3 a list, */10 every tenth
#
# What a job prints is mailed to you, or to MAILTO=address above it.
# Every night at half past two, for example:
#
#   30 2 * * * tar -czf backup.tar.gz documents
#
# See crontab(5). `crontab -l` shows this table, `crontab -r` removes it.
#
# m h  dom mon dow   command
",
    not_regular_file: "The temporary crontab must remain a regular file",
};

static CRONIE: Words = Words {
    usage: "Usage:
 crontab [options] file
 crontab [options]
 crontab -n [hostname]

Options:
 -u <user>  define user
 -e         edit user's crontab
 -l         list user's crontab
 -r         delete user's crontab
 -i         prompt before deleting
 -n <host>  set host in cluster to run users' crontabs
 -c         get host in cluster to run users' crontabs
 -b         don't backup old crontab
 -T <file>  test a crontab file syntax
 -s         selinux context
 -V         print version and exit
 -x <mask>  enable debugging

Default operation is replace, per 1003.2",
    faulty: "Invalid crontab file, can't install.",
    unfinished: "Invalid crontab file, can't install.",
    valid: "No syntax issues were found in the crontab file.",
    faulty_check: "Invalid crontab file. Syntax issues were found.",
    unchanged: "no changes made to crontab",
    unchanged_has_prefix: true,
    retry_choices: "(Y/N)",
    remove_choices: "",
    editors: &["/usr/bin/vi", "/bin/vi"],
    first_text: "",
    not_regular_file: "illegal crontab",
};

impl Words {
    /// The messages of a profile.
    pub fn of(profile: ProfileName) -> &'static Words {
        match profile {
            ProfileName::Debian => &DEBIAN,
            ProfileName::Cronie => &CRONIE,
        }
    }

    /// The failure for a wrong command line. `before` is the message that getopt(3) would have printed.
    pub fn usage_error(&self, program: &str, before: Option<String>, message: UsageFault) -> Failure {
        Failure::Usage {
            before: before.map(|line| line + "\n").unwrap_or_default(),
            program: program.to_owned(),
            message,
            usage: self.usage_for(program),
        }
    }

    /// The usage text with the name by which the program was called.
    pub fn usage_for(&self, program: &str) -> String {
        self.usage.replace("crontab [", &format!("{program} [")).replace("crontab -n [", &format!("{program} -n ["))
    }
}
