//! The job settings in crontab(5), made from the rows of the parser.

use cronwheel::crontab::{JobSetting, job_settings};

pub const BEGIN: &str = ".\\\" BEGIN JOB SETTINGS (made by tests/pages)\n";
pub const END: &str = ".\\\" END JOB SETTINGS\n";

/// The longest line that mandoc's style allows.
const WIDTH: usize = 80;

/// A list with an item for each setting.
pub fn render() -> String {
    let items: String = job_settings().iter().map(item).collect();
    format!(".Bl -tag -width Ds -offset indent\n{items}.El\n")
}

fn item(setting: &JobSetting) -> String {
    let mut text = format!(".It Ev {}\n", setting.name);
    text += &wrap(&format!("{}.", setting.meaning));
    text += &wrap(&format!("Values: {}.", setting.values));
    text += &wrap(&format!("Default: {}.", setting.default));
    if setting.is_for_next_entry {
        text += "For the next entry only.\n";
    }
    let applies = setting.applies;
    let without: Vec<&str> = [
        (applies.interval, "@N"),
        (applies.reboot, "@reboot"),
        (applies.after, "@after"),
        (applies.anacron, "the jobs of anacron"),
    ]
    .iter()
    .filter(|(applies, _)| !applies)
    .map(|(_, schedule)| *schedule)
    .collect();
    match without.as_slice() {
        [] => {}
        [one] => text += &wrap(&format!("No effect on {one}.")),
        [most @ .., last] => text += &wrap(&format!("No effect on {} and {last}.", most.join(", "))),
    }
    text
}

/// A sentence in lines that are not too long.
fn wrap(sentence: &str) -> String {
    let mut text = String::new();
    let mut length = 0;
    for word in sentence.split(' ') {
        if length > 0 && length + 1 + word.len() > WIDTH {
            text.push('\n');
            length = 0;
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text += word;
        length += word.len();
    }
    text + "\n"
}
