//! Plots for a terminal. Only this file knows `kuva`, which is young. It draws the axes and lines.
//! Titles, legend and colours are ours: its own legend covers the lines and cuts names off, its
//! titles run down the page, and only colour distinguishes its lines.

use std::sync::Arc;

use kuva::backend::terminal::TerminalBackend;
use kuva::plot::LinePlot;
use kuva::render::annotations::TextAnnotation;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot as KuvaPlot;
use kuva::render::render::render_multiple;
use kuva::render::theme::Theme;

use crate::escape;
use crate::plot::{Axis, Plot, Scale, Series};
use crate::view::Ink;

/// One letter per line, at each of its points. Where two points meet, the later line is visible.
const LETTERS: [char; 26] = [
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S',
    'T', 'U', 'V', 'W', 'X', 'Y', 'Z',
];
/// SGR parameters (ECMA-48, section 8.3.117): cyan, yellow, magenta, green, red, blue.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 31, 34];
const RESET: &str = "\u{1b}[0m";

/// A character of the terminal in the units of `kuva`. This is twice its real size, so that `kuva`
/// lifts a letter less than one row above its point.
const CELL: (f64, f64) = (20.0, 40.0);
/// Columns on the left, for numbers up to `999.9k`, and on the right, for half a number.
const MARGINS: (f64, f64) = (8.5, 3.0);
const MIN_SIZE: (u16, u16) = (40, 8);

/// The plot with titles and legend, with this many columns, and this many rows for lines and axes;
/// `None` if there is nothing to draw.
pub(super) fn terminal(plot: &Plot, columns: u16, rows: u16, ink: Ink) -> Option<String> {
    let (columns, rows) = (columns.max(MIN_SIZE.0), rows.max(MIN_SIZE.1));
    let lines: Vec<Vec<(f64, f64)>> =
        plot.series.iter().map(|line| plot.drawable_points(line)).collect();
    if lines.iter().all(Vec::is_empty) {
        return None;
    }
    let scene = render_multiple(line_plots(&lines), layout(plot, &lines, columns, rows));
    let backend = TerminalBackend::new(columns.into(), rows.into());
    let picture = recolour(&backend.render_scene(&scene), ink);
    let mut text = format!("{}\n", truncate(&plot.y.title, columns));
    for row in picture.lines().map(str::trim_end).filter(|row| !row.is_empty()) {
        text.push_str(row);
        text.push('\n');
    }
    let title = truncate(&plot.x.title, columns);
    let middle = usize::from(columns) / 2 + title.chars().count() / 2;
    text.push_str(&format!("{title:>middle$}\n"));
    text.push_str(&legend(&plot.series, columns, ink));
    Some(text)
}

impl Plot {
    /// The points that have a place on both axes.
    fn drawable_points(&self, line: &Series) -> Vec<(f64, f64)> {
        let fits = |axis: &Axis, value: f64| match axis.scale {
            Scale::Linear => value.is_finite(),
            Scale::Log => value.is_finite() && value > 0.0,
        };
        let is_drawable = |(x, y): &(f64, f64)| fits(&self.x, *x) && fits(&self.y, *y);
        line.points.iter().copied().filter(is_drawable).collect()
    }
}

fn line_plots(lines: &[Vec<(f64, f64)>]) -> Vec<KuvaPlot> {
    let line = |(index, points): (usize, &Vec<(f64, f64)>)| {
        // The colour encodes the number of the line; `recolour` replaces it with a colour of the
        // terminal.
        let number = format!("#0000{:02x}", index % COLOURS.len() + 1);
        KuvaPlot::Line(LinePlot::new().with_data(points.iter().copied()).with_color(number))
    };
    lines.iter().enumerate().filter(|(_, points)| !points.is_empty()).map(line).collect()
}

fn layout(plot: &Plot, lines: &[Vec<(f64, f64)>], columns: u16, rows: u16) -> Layout {
    let (wide, high) = CELL;
    let white = || "#ffffff".to_owned();
    let theme = Theme {
        text_color: white(),
        axis_color: white(),
        tick_color: white(),
        show_grid: false,
        ..Theme::dark()
    };
    let mut layout = Layout::auto_from_plots(&line_plots(lines))
        .with_theme(theme)
        .with_clamp_axis()
        .with_tick_format(TickFormat::Custom(Arc::new(format_tick)))
        .with_width(f64::from(columns) * wide)
        .with_height(f64::from(rows) * high)
        .with_term_rows(rows.into())
        .with_scale(2.0)
        .with_force_margins(MARGINS.0 * wide, MARGINS.1 * wide)
        .with_force_margins_y(0.5 * high, 1.5 * high);
    layout = match plot.x.scale {
        Scale::Linear => layout,
        Scale::Log => layout.with_log_x(),
    };
    layout = match plot.y.scale {
        Scale::Linear => layout.with_y_axis_min(0.0),
        Scale::Log => layout.with_log_y(),
    };
    let across = || lines.iter().flatten().map(|(x, _)| *x);
    let (left, right) =
        (across().fold(f64::INFINITY, f64::min), across().fold(f64::NEG_INFINITY, f64::max));
    if left < right {
        layout = layout.with_x_axis_min(left).with_x_axis_max(right);
    }
    for (index, points) in lines.iter().enumerate() {
        for (x, y) in points {
            let letter = TextAnnotation::new(letter(index), *x, *y).with_font_size(1);
            layout = layout.with_annotation(letter);
        }
    }
    layout
}

/// `kuva` writes true colours, which some terminals lack and some backgrounds hide. Here the lines
/// get the terminal's own colours, and everything else the colour of its text.
fn recolour(picture: &str, ink: Ink) -> String {
    let mut parts = picture.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('m').unwrap_or(("", part));
        match ink {
            Ink::Plain => {}
            Ink::Colour => match code.strip_prefix("[38;2;0;0;").map(str::parse::<usize>) {
                Some(Ok(number @ 1..)) => text.push_str(&colour(number - 1)),
                Some(Ok(_) | Err(_)) | None => text.push_str(RESET),
            },
        }
        text.push_str(rest);
    }
    text.strip_suffix(RESET).unwrap_or(&text).to_owned()
}

fn legend(lines: &[Series], columns: u16, ink: Ink) -> String {
    let mut text = String::new();
    let mut used = 0;
    for (index, line) in lines.iter().enumerate() {
        let name = truncate(line.name.open(), columns.saturating_sub(6));
        let wide = name.chars().count() + 5;
        if used > 0 && used + wide > usize::from(columns) {
            text.push('\n');
            used = 0;
        }
        used += wide;
        let letter = match ink {
            Ink::Plain => letter(index),
            Ink::Colour => format!("{}{}{RESET}", colour(index), letter(index)),
        };
        text.push_str(&format!("   {letter} {name}"));
    }
    text + "\n"
}

fn letter(index: usize) -> String {
    LETTERS[index % LETTERS.len()].to_string()
}

fn colour(index: usize) -> String {
    format!("\u{1b}[{}m", COLOURS[index % COLOURS.len()])
}

/// A number at an axis, such as `0.25`, `20k` or `1.5M`.
fn format_tick(value: f64) -> String {
    let (value, unit) = match value.abs() {
        many if many >= 1e9 => (value / 1e9, "G"),
        many if many >= 1e6 => (value / 1e6, "M"),
        many if many >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // `kuva` adds up steps, so that 0.3 arrives as 0.30000000000000004.
    format!("{}{unit}", (value * 1e4).round() / 1e4)
}

/// One line of text for a terminal, cut to a width.
fn truncate(text: &str, columns: u16) -> String {
    let text = escape::terminal(text);
    if text.chars().count() <= columns.into() {
        return text;
    }
    text.chars().take(usize::from(columns).saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(x: Scale, y: Scale, lines: &[&[(f64, f64)]]) -> Plot {
        let axis = |title: &str, scale| Axis { title: title.to_owned(), scale };
        let line = |(index, points): (usize, &&[(f64, f64)])| Series {
            name: format!("row-{index}").into(),
            points: points.to_vec(),
        };
        let lines = lines.iter().enumerate().map(line).collect();
        Plot { x: axis("connections", x), y: axis("CPU, µs", y), series: lines }
    }

    #[track_caller]
    fn plain(plot: &Plot) -> String {
        let text = terminal(plot, 80, 16, Ink::Plain).unwrap();
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(Some(&text), terminal(plot, 80, 16, Ink::Plain).as_ref());
        text
    }

    const FALLING: &[(f64, f64)] = &[(1.0, 9.0), (8.0, 6.0), (64.0, 5.0), (512.0, 2.0)];
    const FLAT: &[(f64, f64)] = &[(1.0, 8.0), (8.0, 7.5), (64.0, 7.5), (512.0, 8.0)];

    #[test]
    fn a_plot_has_titles_numbers_letters_and_names() {
        let text = plain(&plot(Scale::Log, Scale::Linear, &[FALLING, FLAT]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (19, "CPU, µs"), "{text}");
        let across = ["1", "2", "5", "10", "20", "50", "100", "200", "500"];
        assert_eq!(lines[16].split_whitespace().collect::<Vec<_>>(), across, "{text}");
        assert_eq!(lines[17].trim(), "connections");
        assert_eq!(lines[18], "   A row-0   B row-1");
        for upwards in ["8 ┼", "4 ┼", "0 ┼"] {
            assert!(text.contains(upwards), "expected {upwards} in:\n{text}");
        }
        assert_eq!((text.matches('A').count(), text.matches('B').count()), (5, 5), "{text}");
    }

    #[test]
    fn a_letter_is_at_the_height_of_its_point() {
        let text = plain(&plot(Scale::Linear, Scale::Linear, &[&[(1.0, 0.0), (2.0, 10.0)]]));
        let row = |part: &str| text.lines().position(|line| line.contains(part)).unwrap();
        assert!(row("A").abs_diff(row("10 ")) <= 1, "{text}");
        let lowest = text.lines().filter(|line| line.contains('A')).nth(1).unwrap();
        assert!(lowest.contains(" 0 ") || text.contains("0 A"), "{text}");
    }

    #[test]
    fn colours_are_those_of_the_terminal() {
        let lines = plot(Scale::Log, Scale::Linear, &[FALLING, FLAT]);
        let text = terminal(&lines, 80, 16, Ink::Colour).unwrap();
        assert!(text.contains("\u{1b}[36mA\u{1b}[0m row-0"), "{text}");
        assert!(text.contains("\u{1b}[33m⠉⠉⠉"), "{text:?}");
        assert!(!text.contains("[38;2"), "{text}");
        assert_eq!(plain(&lines), recolour(&text, Ink::Plain));
    }

    #[test]
    fn odd_numbers_are_drawn_or_left_out() {
        let all = [(Scale::Linear, Scale::Linear), (Scale::Log, Scale::Log)];
        for (x, y) in all {
            plain(&plot(x, y, &[&[(8.0, 3.0)]]));
            plain(&plot(x, y, &[&[(8.0, 3.0), (8.0, 3.0)], &[]]));
            plain(&plot(x, y, &[&[(1e-9, 1e-9), (1e15, 1e15)]]));
            plain(&plot(x, y, &[&[(1e16, 1e16), (1e16 + 2.0, 1e16 + 2.0)]]));
            plain(&plot(x, y, &[&[(f64::MIN_POSITIVE, f64::MIN_POSITIVE), (1e300, 1e300)]]));
            plain(&plot(x, y, &[&[(1.0, f64::NAN), (f64::INFINITY, 1.0), (2.0, 2.0)]]));
            assert_eq!(terminal(&plot(x, y, &[]), 80, 16, Ink::Plain), None);
            assert_eq!(terminal(&plot(x, y, &[&[], &[]]), 80, 16, Ink::Plain), None);
        }
        plain(&plot(Scale::Linear, Scale::Linear, &[&[(1000.0, 0.0), (2000.0, 0.0)]]));
        let none = plot(Scale::Log, Scale::Log, &[&[(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)]]);
        assert_eq!(terminal(&none, 80, 16, Ink::Plain), None);
    }

    #[test]
    fn many_long_names_fit_and_command_no_terminal() {
        let many: Vec<&[(f64, f64)]> = vec![FALLING; 30];
        let mut lines = plot(Scale::Log, Scale::Log, &many);
        for line in &mut lines.series {
            line.name = crate::outside!("{}-{}", line.name, "x".repeat(20));
        }
        lines.series[3].name = "\u{1b}[2J\n$x^2$ ".repeat(30).into();
        lines.x.title = "x\u{7}".repeat(80);
        let text = plain(&lines);
        assert!(!text.contains('\u{7}') && text.contains('…'), "{text}");
        plain(&Plot { series: lines.series.split_off(4), ..lines });
        assert!(terminal(&plot(Scale::Log, Scale::Log, &[FLAT]), 0, 0, Ink::Plain).is_some());
    }

    #[test]
    fn numbers_at_an_axis_are_short() {
        let ticks = [0.0, 0.1 + 0.2, 2.5, 500.0, 20_000.0, 1_500_000.0, 2e9];
        assert_eq!(ticks.map(format_tick), ["0", "0.3", "2.5", "500", "20k", "1.5M", "2G"]);
    }
}
