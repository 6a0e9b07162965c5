//! Comparisons of small results, in both directions.

use super::*;
use crate::bench::{Count, Pinning, Refusal, RefusalKind};
use crate::example::{bench, cell, check, invalid};
use crate::exit::Exit;
use crate::run::{Cell, RunRow};
use crate::seed::Seed;
use crate::verdict::Verdict;
use crate::view::{View, Width};

impl Comparison {
    #[track_caller]
    fn render(&self, format: Format) -> String {
        crate::render::render(self, &(), format, View::plain(Width::new(160))).unwrap()
    }
}

fn side(name: &str, benches: Vec<Bench>) -> Results {
    Results { name: name.into(), runs: Vec::new(), benches }
}

fn check_results(name: &str, verdicts: &[(&str, Verdict)]) -> Results {
    let cells = verdicts.iter().map(|(case, verdict)| cell(case, *verdict)).collect();
    Results { name: name.into(), runs: vec![check(cells)], benches: Vec::new() }
}

#[track_caller]
fn compare_benches(before: Bench, after: Bench) -> Comparison {
    compare(&side("A", vec![before]), &side("B", vec![after]), OtherHosts::CountsOnly).unwrap()
}

/// The bench with each CPU time of its second row multiplied by `factor`.
fn with_cost(factor: f64) -> Bench {
    let mut bench = bench();
    for sample in &mut bench.rows[1].samples {
        let server = sample.server.as_mut().unwrap();
        server.cpu_ns = server.cpu_ns.clone().map(|ns| ns * factor);
    }
    bench
}

#[track_caller]
fn expect(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "expected '{part}' in:\n{page}");
    }
}

#[test]
fn the_same_bench_is_green() {
    let found = compare_benches(bench(), bench());
    assert_eq!(found.exit(&()), Exit::Green);
    let page = found.render(Format::Text);
    expect(&page, &["A -> B", "counts on linux: 0 regressions, 0 improvements, 9 with no clear"]);
    expect(&page, &["times on linux: 0 regressions, 0 improvements, 15 with no", "green: nothing"]);
    assert_eq!(page, compare_benches(bench(), bench()).render(Format::Text));
}

#[test]
fn a_count_beyond_the_gate_is_red_and_the_other_way_round_an_improvement() {
    let mut more = bench();
    more.rows[1].system_calls = Count::Of(2.5);
    let found = compare_benches(bench(), more.clone());
    assert_eq!(found.exit(&()), Exit::Red);
    let page = found.render(Format::Markdown);
    let line =
        "| fast | linux | system calls per message |  | 2.08 | 2.50 | +20 % | a regression |";
    expect(&page, &[line, "red: something is worse"]);
    let found = compare_benches(more, bench());
    assert_eq!(found.exit(&()), Exit::Green);
    expect(&found.render(Format::Text), &["-17 %", "an improvement"]);
}

#[test]
fn a_little_more_is_nothing() {
    for calls in [2.2, 2.0] {
        let mut other = bench();
        other.rows[1].system_calls = Count::Of(calls);
        let found = compare_benches(bench(), other);
        assert_eq!(found.benches[0].changes_with(Judgement::NoClearDifference).count(), 24);
    }
    let (mut few, mut more) = (bench(), bench());
    few.rows[0].system_calls = Count::Of(0.02);
    more.rows[0].system_calls = Count::Of(0.06);
    assert_eq!(compare_benches(few, more).exit(&()), Exit::Green);
}

#[test]
fn a_time_changes_only_with_confidence_and_by_enough() {
    let found = compare_benches(bench(), with_cost(1.2));
    assert_eq!(found.exit(&()), Exit::Red);
    let metrics: Vec<&str> = found.benches[0]
        .changes_with(Judgement::Regression)
        .map(|change| change.metric.name())
        .collect();
    assert_eq!(metrics, ["CPU per message", "CPU over the floor"]);
    expect(&found.render(Format::Text), &["+20 %"]);
    assert_eq!(compare_benches(with_cost(1.2), bench()).exit(&()), Exit::Green);
    // The rounds of one bench differ by as much.
    assert_eq!(compare_benches(bench(), with_cost(1.02)).exit(&()), Exit::Green);
    let mut short = with_cost(1.2);
    short.rows[1].samples.truncate(4);
    let found = compare_benches(bench(), short);
    assert_eq!(found.exit(&()), Exit::Green);
    expect(&found.render(Format::Text), &["5 with too few rounds"]);
}

#[test]
fn times_of_another_host_are_compared_only_when_forced() {
    let mut other = with_cost(1.2);
    other.host.kernel = Some("6.18.1".into());
    other.rows[0].system_calls = Count::Of(9.0);
    let found = compare_benches(bench(), other.clone());
    let page = found.render(Format::Text);
    let line = "times on linux: not compared: other host (kernel 6.17.0 against 6.18.1); --force";
    expect(&page, &[line, "system calls per message"]);
    assert!(!page.contains("CPU per message") && found.exit(&()) == Exit::Red, "{page}");
    assert!(!is_same_host(&bench().host, &other.host));
    let sides = (side("A", vec![bench()]), side("B", vec![other]));
    let page = compare(&sides.0, &sides.1, OtherHosts::TimesToo).unwrap().render(Format::Text);
    expect(&page, &["CPU per message", "forced, for another host (kernel"]);
}

#[test]
fn pinning_is_part_of_what_times_depend_on() {
    let mut other = bench();
    other.pinning = Pinning::None { reason: "one processor".into() };
    let page = compare_benches(bench(), other).render(Format::Text);
    expect(&page, &["pinning 2 CPUs for the server and 2 apart against none"]);
}

#[test]
fn another_workload_is_refused() {
    let mut other = bench();
    (other.workload.connections, other.workload.seed) = (128, Seed::new(1));
    other.workload.arrival = crate::load::Arrival::Open { messages_per_second: 20_000.0 };
    let sides = (side("A", vec![bench()]), side("B", vec![other]));
    let message = compare(&sides.0, &sides.1, OtherHosts::TimesToo).unwrap_err();
    let message = message.on_terminal();
    expect(
        &message,
        &["arrival closed loop against open loop at 20,000", "connections 64 against"],
    );
    assert!(!message.contains("seed"), "{message}");
}

#[test]
fn a_row_that_is_lost_or_alone_is_named() {
    let mut other = bench();
    other.rows[0].refused = Some(Refusal::new(RefusalKind::Wrong, "it fails tcp-echo/one-byte"));
    other.rows[2].name = "new\u{1b}".into();
    other.rows[1].system_calls = Count::none("not permitted");
    let found = compare_benches(bench(), other.clone());
    assert_eq!(found.exit(&()), Exit::Error);
    let page = found.render(Format::Text);
    expect(&page, &["base: refused: it fails tcp-echo/one-byte", "only in A: slow"]);
    expect(&page, &["only in B: new\u{fffd}", "none in the second: not permitted", "no verdict"]);
    assert_eq!(compare_benches(other, bench()).exit(&()), Exit::Green);
    let mut noisy = bench();
    for sample in &mut noisy.rows[0].samples {
        sample.measurement.validity = invalid("late");
    }
    expect(
        &compare_benches(bench(), noisy).render(Format::Text),
        &["base: 6 of its 6 rounds do not count"],
    );
}

#[test]
fn a_cell_turns_red_and_back() {
    let good = check_results("A", &[("a", Verdict::Pass), ("b", Verdict::Unavailable)]);
    let bad = check_results("B", &[("a", Verdict::Fail), ("b", Verdict::Unavailable)]);
    let found = compare(&good, &bad, OtherHosts::CountsOnly).unwrap();
    assert_eq!(found.exit(&()), Exit::Red);
    let page = found.render(Format::Text);
    expect(
        &page,
        &["conformance on linux: 1 newly red, 0 fixed, 0 newly not judged (1 cell judged"],
    );
    expect(&page, &["newly red:\n  linux base::tcp-echo/a: pass -> fail (lost)"]);
    let found = compare(&bad, &good, OtherHosts::CountsOnly).unwrap();
    assert_eq!(found.exit(&()), Exit::Green);
    expect(
        &found.render(Format::Markdown),
        &["## Fixed\n\n- linux base::tcp-echo/a: fail (lost) -&gt; pass"],
    );
}

#[test]
fn a_cell_that_is_not_judged_any_more_is_no_success() {
    let all =
        check_results("A", &[("a", Verdict::Pass), ("b", Verdict::Pass), ("c", Verdict::Pass)]);
    let less = check_results("B", &[("a", Verdict::Unavailable), ("b", Verdict::Pass)]);
    let found = compare(&all, &less, OtherHosts::CountsOnly).unwrap();
    assert_eq!(found.exit(&()), Exit::Error);
    let page = found.render(Format::Text);
    expect(&page, &["newly not judged:\n  linux base::tcp-echo/a: pass -> unavailable (no such"]);
    expect(&page, &["only in A: case tcp-echo/c"]);
    let error = check_results("B", &[("a", Verdict::Error)]);
    let found = compare(&all, &error, OtherHosts::CountsOnly).unwrap();
    assert_eq!(found.exit(&()), Exit::Error);
    let worse = check_results("B", &[("a", Verdict::Fail), ("b", Verdict::Unavailable)]);
    let found = compare(&all, &worse, OtherHosts::CountsOnly).unwrap();
    assert_eq!(found.exit(&()), Exit::Red, "what is worse counts for more");
}

#[test]
fn checks_that_asked_other_questions_are_not_comparable() {
    let all = check_results("A", &[("a", Verdict::Pass)]);
    let other = check_results("B", &[("b", Verdict::Pass)]);
    let none = compare(&all, &other, OtherHosts::CountsOnly).unwrap_err();
    assert!(none.contains("A and B have no cell in common"), "{none:?}");
    let of_rows = |name: &str, ids: [(&str, &str); 2]| {
        let cells = ids.map(|(row, case)| Cell { row: row.into(), ..cell(case, Verdict::Pass) });
        let mut run = check(cells.into());
        let row = run.rows[0].clone();
        run.rows = ids.map(|(name, _)| RunRow { name: name.into(), ..row.clone() }).into();
        Results { name: name.into(), runs: vec![run], benches: Vec::new() }
    };
    let mut all_cells = of_rows("A", [("one", "a"), ("two", "b")]);
    all_cells.runs[0].cells.push(Cell { row: "two".into(), ..cell("a", Verdict::Pass) });
    all_cells.runs[0].planned = 3;
    let fewer = of_rows("B", [("one", "a"), ("two", "b")]);
    let found = compare(&all_cells, &fewer, OtherHosts::CountsOnly).unwrap();
    assert_eq!(found.exit(&()), Exit::Error);
    expect(&found.render(Format::Text), &["only in A: cell two::tcp-echo/a"]);
    let changed = |change: fn(&mut Run)| {
        let mut changed = Results { name: "B".into(), ..all.clone() };
        change(&mut changed.runs[0]);
        let found = compare(&all, &changed, OtherHosts::CountsOnly).unwrap();
        assert_eq!(found.exit(&()), Exit::Error);
        found.render(Format::Text)
    };
    let page = changed(|run| run.profile = "full".into());
    expect(&page, &["not comparable:\n  linux: profile default against full", "no verdict"]);
    let page = changed(|run| run.host.os = "macos".into());
    expect(&page, &["system linux against macos"]);
    let page = changed(|run| run.cells[0].level = crate::verdict::Level::Should);
    expect(&page, &["level of base::tcp-echo/a: MUST against SHOULD"]);
}

#[test]
fn results_belong_together_by_label() {
    let labelled = |name: &str, labels: &[&str]| {
        let cells = || vec![cell("a", Verdict::Pass)];
        let run = |label: &&str| Run { label: (*label).into(), ..check(cells()) };
        Results { name: name.into(), runs: labels.iter().map(run).collect(), ..Results::default() }
    };
    let force = OtherHosts::CountsOnly;
    let found = compare(&labelled("A", &["x", "y"]), &labelled("B", &["y", "z"]), force).unwrap();
    assert_eq!(found.runs.len(), 1);
    assert_eq!(found.unpaired_before, ["only A has x"]);
    assert_eq!(found.unpaired_after, ["only B has z"]);
    assert_eq!(found.exit(&()), Exit::Error);
    let twice = compare(&labelled("A", &["x", "x"]), &labelled("B", &["x"]), force);
    assert!(twice.unwrap_err().contains("A has two results of x"));
    let none = compare(&labelled("A", &["x"]), &side("B", vec![bench()]), force).unwrap_err();
    assert!(
        none.contains("nothing in common: only A has x; only B has linux, a bench"),
        "{none:?}"
    );
}

#[test]
fn a_run_that_was_cut_off_is_not_compared() {
    let whole = check(vec![cell("a", Verdict::Pass), cell("b", Verdict::Pass)]);
    let cut_off = Run { planned: 3, ..whole.clone() };
    let results =
        |name: &str, run: Run| Results { name: name.into(), runs: vec![run], ..Results::default() };
    let force = OtherHosts::CountsOnly;
    for (before, after) in [(&whole, &cut_off), (&cut_off, &whole)] {
        let found = compare(&results("A", before.clone()), &results("B", after.clone()), force);
        assert!(found.unwrap_err().contains("was cut off: 2 of 3 cells"));
    }
}
