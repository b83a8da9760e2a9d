//! The window on the lines: only those in view, and some around them, are in the page.

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;

use super::sheet::Sheet;
use crate::view::LogRow;

/// As many lines as the page keeps; all of them are in the file.
pub const KEPT: usize = 100_000;
/// Rows above and below the view that are drawn, too.
const AROUND: i64 = 25;
/// Nearer to the end than this many rows counts as at the end.
const AT_END: f64 = 2.0;
/// Signs and rows of the text that is measured.
pub const RULER: (usize, usize) = (100, 10);

/// What a reader looks at; a handle to be copied.
#[derive(Clone, Copy)]
pub struct Pane {
    sheet: StoredValue<Sheet>,
    /// The lines that are in the page: at first all, as the server rendered them.
    pub shown: RwSignal<Vec<Arc<LogRow>>>,
    pub count: RwSignal<usize>,
    /// Lines that came while the reader was further up.
    pub unseen: RwSignal<usize>,
    /// A row's height in pixels, once it is measured.
    row: StoredValue<Option<f64>>,
    pub log: NodeRef<html::Div>,
    /// As high as all lines together.
    pub whole: NodeRef<html::Div>,
    /// What is drawn of it.
    pub drawn: NodeRef<html::Div>,
    /// A message's place, and a text in it of known size.
    pub cell: NodeRef<html::Span>,
    pub ruler: NodeRef<html::Span>,
}

impl Pane {
    pub fn new(lines: Vec<LogRow>) -> Self {
        let sheet = Sheet::of(lines);
        let shown = sheet.lines(0..sheet.len());
        Self {
            count: RwSignal::new(sheet.len()),
            sheet: StoredValue::new(sheet),
            shown: RwSignal::new(shown),
            unseen: RwSignal::new(0),
            row: StoredValue::new(None),
            log: NodeRef::new(),
            whole: NodeRef::new(),
            drawn: NodeRef::new(),
            cell: NodeRef::new(),
            ruler: NodeRef::new(),
        }
    }

    /// Learns how large a sign is and how many fit; then draws. False if nothing has a size yet.
    pub fn measure(self, wrap: bool) -> bool {
        let nodes = (self.cell.try_get_untracked().flatten(), self.ruler.try_get_untracked().flatten());
        let (Some(cell), Some(ruler)) = nodes else { return false };
        let sign = f64::from(ruler.offset_width()) / RULER.0 as f64;
        let row = f64::from(ruler.offset_height()) / RULER.1 as f64;
        if sign <= 0.0 || row <= 0.0 {
            return false;
        }
        let at_end = self.is_at_end();
        self.row.set_value(Some(row));
        let columns = (f64::from(cell.offset_width()) / sign).floor().max(1.0) as usize;
        self.sheet.update_value(|sheet| {
            sheet.wrap(wrap.then_some(columns));
        });
        self.draw(if at_end { Go::End } else { Go::Nowhere });
        true
    }

    /// Whether the page that this belongs to is still there.
    pub fn lives(self) -> bool {
        self.shown.try_get_untracked().is_some()
    }

    /// Adds newer lines; stays at the end if the reader is there.
    pub fn append(self, lines: Vec<LogRow>) {
        let Some(at_end) = self.log.try_get_untracked().map(|_| self.is_at_end()) else { return };
        let added = lines.len();
        let mut gone = 0;
        self.sheet.update_value(|sheet| {
            sheet.append(lines);
            gone = sheet.forget(KEPT);
        });
        if !at_end {
            self.unseen.update(|unseen| *unseen += added);
        }
        self.draw(if at_end { Go::End } else { Go::By(-gone) });
    }

    /// Adds older lines above; what the reader looks at stays where it is.
    pub fn prepend(self, lines: Vec<LogRow>) {
        let mut rows = 0;
        self.sheet.update_value(|sheet| rows = sheet.prepend(lines));
        self.draw(Go::By(rows));
    }

    /// The name of the oldest line, while there is room for older ones.
    pub fn oldest(self) -> Option<String> {
        self.sheet.with_value(|sheet| sheet.first_id().filter(|_| sheet.len() < KEPT).map(str::to_owned))
    }

    pub fn is_full(self) -> bool {
        self.sheet.with_value(|sheet| sheet.len() >= KEPT)
    }

    /// Whether the reader looks at the oldest lines.
    pub fn is_at_begin(self) -> bool {
        let row = self.row.get_value().unwrap_or(1.0);
        self.log.get_untracked().is_some_and(|log| f64::from(log.scroll_top()) < row * AROUND as f64)
    }

    pub fn is_at_end(self) -> bool {
        let row = self.row.get_value().unwrap_or(20.0);
        self.log.get_untracked().is_none_or(|log| {
            let below = log.scroll_height() - log.scroll_top() - log.client_height();
            f64::from(below) < AT_END * row
        })
    }

    pub fn go_to_end(self) {
        self.draw(Go::End);
    }

    /// Lets the keys move the log, as after the button that had them is gone.
    pub fn focus(self) {
        if let Some(log) = self.log.get_untracked() {
            let _ = log.focus();
        }
    }

    /// The reader moved.
    pub fn scrolled(self) {
        if self.is_at_end() {
            self.unseen.set(0);
        }
        self.draw(Go::Nowhere);
    }

    /// Puts the lines in view into the page. Sizes are set on the elements at once, so that the view can be moved before
    /// anything is painted.
    fn draw(self, go: Go) {
        let count = self.sheet.with_value(Sheet::len);
        if self.count.get_untracked() != count {
            self.count.set(count);
        }
        let Some(row) = self.row.get_value() else { return };
        let nodes = (self.log.get_untracked(), self.whole.get_untracked(), self.drawn.get_untracked());
        let (Some(log), Some(whole), Some(drawn)) = nodes else { return };
        let rows = self.sheet.with_value(Sheet::rows);
        set_size(&whole, "height", &format!("{:.1}px", rows as f64 * row));
        match go {
            Go::Nowhere | Go::By(0) => {}
            Go::By(rows) => {
                let to = f64::from(log.scroll_top()) + rows as f64 * row;
                log.set_scroll_top(to.max(0.0).round() as i32);
            }
            Go::End => {
                log.set_scroll_top(log.scroll_height());
                self.unseen.set(0);
            }
        }
        let from = (f64::from(log.scroll_top()) / row) as i64 - AROUND;
        let to = from + (f64::from(log.client_height()) / row) as i64 + 2 * AROUND;
        let (lines, top) = self.sheet.with_value(|sheet| {
            let range = sheet.between(from.max(0), to);
            let top = sheet.top_of(range.start);
            (sheet.lines(range), top)
        });
        set_size(&drawn, "transform", &format!("translateY({:.1}px)", top as f64 * row));
        let is_same = |old: &Vec<Arc<LogRow>>| {
            let mut both = old.iter().zip(&lines);
            old.len() == lines.len()
                && both.all(|(old, new)| old.id == new.id && old.deployment == new.deployment)
        };
        if !self.shown.with_untracked(is_same) {
            self.shown.set(lines);
        }
    }
}

/// Where to look after lines came.
#[derive(Clone, Copy)]
enum Go {
    Nowhere,
    /// So many rows down, or up.
    By(i64),
    End,
}

/// The page's policy permits no style in an attribute, but one that is set here.
fn set_size(element: &web_sys::HtmlElement, name: &str, value: &str) {
    let _ = element.style().set_property(name, value);
}
