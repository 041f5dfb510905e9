"""Every choice of a fit, one field each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from thinslice.conventions import VIEWS
from thinslice.errors import UsageError
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig


@dataclass(frozen=True)
class IncrementConfig:
    """What is learned at increments of the slice spacing (`increments.py`). A weight of 0 leaves its term out.

    Attributes:
        teacher: weight of the in-plane teacher beside the increments, where coronal and sagittal learn from them.
        minus_one: weight of increment -1: acquired slices predicted from every second one.
        zero: weight of increment 0: acquired slices predicted from synthesised ones.
        plus_one: weight of increment +1: the other views' consensus as label.
        gamma: share of voxels, those where the teachers agree best, that increments 0 and +1 count.
        learners: views that learn from the increments.
        teaching: views whose mean is the label at increment +1.
        fused_labels: whether a view is among its own teachers, or learns from the others alone.
        moving_teachers: whether teachers are the moving averages of what learns, or as they were before.

    Raises:
        UsageError: USE-CONFIG where a view has no other to learn from.
    """

    teacher: float = 1.0
    minus_one: float = 0.0
    zero: float = 0.0
    plus_one: float = 1.0
    gamma: float = 1.0
    learners: tuple[str, ...] = ("axial",)
    teaching: tuple[str, ...] = VIEWS
    fused_labels: bool = False
    moving_teachers: bool = True

    def __post_init__(self) -> None:
        alone = [
            view for view in self.learners if not set(self.teaching) - ({view} if not self.fused_labels else set())
        ]
        if alone and self.plus_one:
            raise UsageError("USE-CONFIG", f"the {alone[0]} view has no other to learn from; add one to teaching")

    @property
    def loss_weights(self) -> tuple[float, ...]:
        """Of the in-plane teacher and increments -1, 0 and +1; the axial view learns nothing from the teacher."""
        teacher = self.teacher if {"coronal", "sagittal"} & set(self.learners) else 0.0
        return teacher, self.minus_one, self.zero, self.plus_one


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted to one scan. A weight of 0 leaves its term out.

    Attributes:
        inplane, axial: sizes of the networks.
        batch: in-plane patches a step.
        patch_slices: acquired slices of an in-plane patch (fewer where the image is too small).
        patch_width: pixels across a patch.
        fine_share: share of steps whose label spacing is drawn between the pixel and the output
            spacing; the others use the output spacing itself.
        plane_share, context_share: shares of the budget for the in-plane network without and with
            neighbouring planes; what is left is for the increments.
        context_noise: whether synthesised planes beside acquired ones carry noise as those do.
        slice_noise: whether thickened slices of the in-plane teacher carry the noise that thickening takes away,
            where slices are no thicker than output slices (`SliceGrid.copies`).
        increments: what is learned at increments of the slice spacing.
        axial_weight: of the axial view in the fusion; coronal and sagittal share the rest.
        charbonnier_share: share of a phase with Charbonnier's loss for the in-plane teacher, before the mean
            squared error.
        bias: weight of the squared bias within lung, soft tissue and bone (`losses.tissue_bias`).
        learning_rate: of AdamW at its highest; in each phase it warms up and falls to zero.
        kernel_rate: the same of Muon, for the convolutions of the blocks.
        adapt_rate: share of the learning rates that a trained model is adapted to a scan with.
        interpolate_towards: share of the way back to a trained model's weights that its adaptation goes in the end.
        average: time constant, in steps, of the moving average of the weights.
    """

    inplane: InplaneConfig = field(default_factory=InplaneConfig)
    axial: AxialConfig = field(default_factory=AxialConfig)
    batch: int = 32
    patch_slices: int = 16
    patch_width: int = 64
    fine_share: float = 0.5
    plane_share: float = 0.4
    context_share: float = 0.6
    context_noise: bool = False
    slice_noise: bool = True
    increments: IncrementConfig = field(default_factory=lambda: IncrementConfig(learners=()))
    axial_weight: float = 0.0
    charbonnier_share: float = 0.6
    bias: float = 1.5
    learning_rate: float = 2e-3
    kernel_rate: float = 0.02
    adapt_rate: float = 0.6
    interpolate_towards: float = 0.5
    average: int = 200

    @property
    def fusion(self) -> Mapping[str, float]:
        """Weight of each view in the synthesis."""
        rest = (1 - self.axial_weight) / 2
        return {"axial": self.axial_weight, "coronal": rest, "sagittal": rest}

    @property
    def increments_run(self) -> bool:
        """Whether anything learns from the increments, and has time to; the axial network learns from nothing else."""
        increments, rest = self.increments, 1 - self.plane_share - self.context_share
        return bool(increments.learners) and any(increments.loss_weights) and rest > 1e-6

    @classmethod
    def for_views(cls, views: Sequence[str]) -> FitConfig:
        """The choices of a fit from nothing, for views that will run.

        The axial view learns from the others, in a tenth of the budget, where it is asked for alone: beside them it
        has no weight (docs/experiments/axial.md).
        """
        if set(views) - {"axial"}:
            return cls()
        return cls(plane_share=0.35, context_share=0.55, increments=IncrementConfig())

    @classmethod
    def adapting(cls) -> FitConfig:
        """The choices for adapting a trained model, where those of a fit from nothing do not serve.

        It is given neighbouring planes from the first step on, and noisy ones: it was trained among acquired planes,
        and would come to rely on smooth ones.
        """
        return cls(plane_share=0.0, context_share=1.0, context_noise=True)

    def going_on(self, inplane: InplaneConfig, axial: AxialConfig, *, rate: float) -> FitConfig:
        """The same for a trained model of these sizes, at `rate` times the learning rates."""
        return replace(
            self,
            inplane=inplane,
            axial=axial,
            learning_rate=self.learning_rate * rate,
            kernel_rate=self.kernel_rate * rate,
        )
