"""Plots of a study, one per file: plain data (``*_info``) first, then the figure drawn from it."""

from reports.plots.accuracies import draw_accuracies
from reports.plots.class_drift import draw_class_drift
from reports.plots.drawing import Drawing, Plot
from reports.plots.front_pairs import draw_accuracy_macs, draw_accuracy_params, draw_macs_params
from reports.plots.front_space import draw_front_space
from reports.plots.hypervolume_time import draw_hypervolume
from reports.plots.importances import draw_importances
from reports.plots.kept_widths import draw_kept_widths
from reports.plots.latencies import draw_latencies
from reports.plots.parallel import draw_parallel
from reports.plots.slices import draw_slices
from reports.plots.stage_times import draw_stage_times
from reports.plots.step_prices import draw_step_prices

__all__ = ["PLOTS", "Drawing", "Plot"]

PLOTS: dict[str, Plot] = {
    "accuracy_macs": Plot(
        title="Accuracy against FLOPs (MACs)",
        reading="Up and to the left is better. The line joins the networks that no other beats in these two "
        "respects; front networks below it are there for their few params. Bars are 95% intervals.",
        draw=draw_accuracy_macs,
    ),
    "accuracy_params": Plot(
        title="Accuracy against params",
        reading="The same networks by the number of their weights.",
        draw=draw_accuracy_params,
    ),
    "macs_params": Plot(
        title="Params against FLOPs (MACs)",
        reading="Down and to the left is cheaper. Off the diagonal, a network saves one more than the other.",
        draw=draw_macs_params,
    ),
    "front_space": Plot(
        title="All three at once",
        reading="The same networks once more; drag to turn.",
        draw=draw_front_space,
    ),
    "step_prices": Plot(
        title="What each step along the front costs",
        reading="Accuracy given up for every million MACs saved by going to the next smaller network. A tall bar is "
        "a step not worth taking; a negative one gains accuracy.",
        draw=draw_step_prices,
    ),
    "accuracies": Plot(
        title="Accuracies of each network, step by step",
        reading="The dense network, the same one with channels removed and nothing retrained, and after fine-tuning.",
        draw=draw_accuracies,
    ),
    "kept_widths": Plot(
        title="Channels kept, layer by layer",
        reading="One row per network (trial: accuracy at its share of the FLOPs), one column per group of channels "
        "that can only go together. At 100% all of its channels stay.",
        draw=draw_kept_widths,
    ),
    "latencies": Plot(
        title="Measured latency",
        reading="Fewer FLOPs need not be faster: what counts is where the time goes on the target. Networks that are "
        "slower than a larger one stand out.",
        draw=draw_latencies,
    ),
    "hypervolume": Plot(
        title="Progress of the search",
        reading="Hypervolume: how much of the space between the dense network's cost with no accuracy and perfect "
        "accuracy at no cost the front covers. A flat end means that more trials would bring little.",
        draw=draw_hypervolume,
    ),
    "parallel": Plot(
        title="Settings and what came of them",
        reading="One line per trial, its colour following the accuracy. Drag along an axis to keep only the lines "
        "through it.",
        draw=draw_parallel,
    ),
    "importances": Plot(
        title="What mattered",
        reading="How much each setting that varied decides whether a network is among the best in an objective (a "
        "tenth, five at least), by PED-ANOVA: how far the values of the best lie from those of all. The bars of an "
        "objective add up to 100%.",
        draw=draw_importances,
    ),
    "slices": Plot(
        title="Each objective against each setting",
        reading="One dot per network. Where dots form a slope or a band, the setting matters; networks of the same "
        "choice lie beside each other.",
        draw=draw_slices,
    ),
    "class_drift": Plot(
        title="Explanations by class",
        reading="How much the explanations of a class's images overlap those of the dense network, on average. A pale "
        "column is a class for which pruning made networks look elsewhere.",
        draw=draw_class_drift,
    ),
    "stage_times": Plot(
        title="Time of each trial",
        reading="Stages that several trials share run once; a trial that finds one finished spends no time on it.",
        draw=draw_stage_times,
    ),
}
