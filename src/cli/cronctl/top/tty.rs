//! The terminal while the view is on it. Whatever happens, it is put back as it was.

use crate::cli::cronctl::error::Error;
use crate::cli::cronctl::screen::TextStyle;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use ratatui::layout::{Rect, Size};
use ratatui::style::{Color, Modifier, Style};
use std::io::{self, Stdout};
use std::panic;

/// A piece of a line, with its colour.
pub(super) type Piece = (TextStyle, String);

/// A line of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScreenLine {
    pub(super) pieces: Vec<Piece>,
    /// Whether the whole line is shown in reverse.
    pub(super) is_selected: bool,
}

/// The terminal in raw mode, with the alternate screen, until this is dropped.
pub(super) struct Tty {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    has_colours: bool,
    is_open: bool,
}

impl Tty {
    /// Switches the terminal to raw mode and its alternate screen. A panic restores it before its message is printed.
    pub(super) fn open(has_colours: bool) -> Result<Tty, Error> {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            previous(info);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).map_err(failed)?;
        let mut tty = Tty { terminal, has_colours, is_open: false };
        tty.take()?;
        Ok(tty)
    }

    /// Takes the terminal, also after another program may have changed it.
    pub(super) fn take(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.is_open, true) {
            // The library does not set the modes anew while it takes them for set.
            let _ = disable_raw_mode();
        }
        enable_raw_mode().map_err(failed)?;
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide).map_err(failed)?;
        // `Terminal::clear` asks the terminal where its cursor is, and this program reads the answers.
        let Size { width, height } = self.terminal.size().map_err(failed)?;
        self.terminal.resize(Rect { x: 0, y: 0, width, height }).map_err(failed)
    }

    /// Restores the terminal's mode and its main screen, for a shell or another program.
    pub(super) fn give(&mut self) {
        if std::mem::take(&mut self.is_open) {
            give_back();
        }
    }

    /// Columns and rows of the terminal; 80 by 24 if they are not known.
    pub(super) fn size(&self) -> (usize, usize) {
        self.terminal.size().map_or((80, 24), |size| (usize::from(size.width), usize::from(size.height)))
    }

    /// Draws the whole screen; only what has changed is written.
    pub(super) fn draw(&mut self, lines: &[ScreenLine]) -> Result<(), Error> {
        let has_colours = self.has_colours;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            let buffer = frame.buffer_mut();
            for (y, line) in (area.top()..area.bottom()).zip(lines) {
                let mut x = area.left();
                for (style, text) in &line.pieces {
                    let room = usize::from(area.right().saturating_sub(x));
                    x = buffer.set_stringn(x, y, text, room, terminal_style(*style, has_colours)).0;
                }
                if line.is_selected {
                    let row = Rect { x: area.left(), y, width: area.width, height: 1 };
                    buffer.set_style(row, Style::new().add_modifier(Modifier::REVERSED));
                }
            }
        });
        drawn.map(drop).map_err(failed)
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.give();
    }
}

/// Nothing can be done if the terminal is gone.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

fn failed(error: io::Error) -> Error {
    Error::Output(error.into())
}

fn terminal_style(text_style: TextStyle, has_colours: bool) -> Style {
    let (colour, modifier) = match text_style {
        TextStyle::Plain => (None, Modifier::empty()),
        TextStyle::Heading => (None, Modifier::BOLD),
        TextStyle::Bad => (Some(Color::Red), Modifier::BOLD),
        TextStyle::Good => (Some(Color::Green), Modifier::empty()),
        TextStyle::Held => (Some(Color::Yellow), Modifier::empty()),
        TextStyle::Dim => (None, Modifier::DIM),
        TextStyle::Coming => (Some(Color::Cyan), Modifier::empty()),
        TextStyle::Live => (Some(Color::Green), Modifier::BOLD),
        TextStyle::Notable => (Some(Color::Magenta), Modifier::BOLD),
    };
    let style = Style::new().add_modifier(modifier);
    colour.filter(|_| has_colours).map_or(style, |colour| style.fg(colour))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;
    use nix::sys::termios::{LocalFlags, tcgetattr};
    use std::env;
    use std::fs::File;
    use std::io::Read as _;
    use std::process::Command;

    /// Set for a child that panics on its terminal.
    const CHILD: &str = "CRONWHEEL_TEST_PANIC";

    /// Not a test of its own: [`a_panic_gives_the_terminal_back_before_its_message`] runs it on a terminal.
    #[test]
    fn panic_on_the_terminal() {
        if env::var_os(CHILD).is_some() {
            let _tty = Tty::open(true).unwrap();
            panic!("the message");
        }
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_its_message() {
        let pty = openpty(None, None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        assert!(before.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO));
        let name = format!("{}::panic_on_the_terminal", module_path!().split_once("::").unwrap().1);
        let ends = [(); 3].map(|()| pty.slave.try_clone().unwrap());
        let [input, output, error] = ends;
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", &name, "--nocapture"]).env(CHILD, "1").stdin(input).stdout(output).stderr(error);
        let status = child.status().unwrap();
        drop(child);
        assert!(!status.success());
        assert_eq!(tcgetattr(&pty.slave).unwrap(), before);
        drop(pty.slave);
        let mut shown = Vec::new();
        // Its end is an error: nobody has the other side open any more.
        let _ = File::from(pty.master).read_to_end(&mut shown);
        let shown = String::from_utf8_lossy(&shown);
        let places = ["\u{1b}[?1049h", "\u{1b}[?1049l", "\u{1b}[?25h", "the message"].map(|text| shown.find(text));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {shown:?}");
    }
}
