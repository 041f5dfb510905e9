"""Every choice of a fit, one field each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from thinslice.conventions import VIEWS
from thinslice.errors import UsageError
from thinslice.networks.axial import AxialConfig
from thinslice.networks.inplane import InplaneConfig


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted to one scan. A weight of 0 leaves its term out.

    Attributes:
        inplane, axial: sizes of the networks.
        batch: in-plane patches a step.
        patch_slices: acquired rows of an in-plane patch (fewer where the image is too small).
        patch_width: pixels across a patch.
        fine_share: share of steps whose label spacing is drawn between the pixel and the output
            spacing; the others use the output spacing itself.
        plane_share, context_share: shares of the budget for the in-plane network without and with
            neighbouring planes; what is left is for the axial network and mutual distillation.
        context_noise: whether synthesised planes beside acquired ones carry noise as those do.
        row_noise: whether rows of the in-plane teacher carry the noise that thickening takes away, where slices
            are no thicker than output slices (`SliceGrid.copies`).
        teacher: weight of the in-plane teacher beside the increments, where coronal and sagittal learn from them.
        increment_minus1: weight of the increment -1: acquired slices predicted from every second one.
        increment_0: weight of the increment 0: acquired slices predicted from synthesised ones.
        increment_plus1: weight of the increment +1: the other views' consensus as label.
        gamma: share of voxels, those where the teachers agree best, that increments 0 and +1 count.
        learners: views that learn from the increments, in what `plane_share` and `context_share` leave of the budget.
        teaching: views whose mean is the label at increment +1.
        fused_labels: whether a view is among its own teachers, or learns from the others alone.
        moving_teachers: whether teachers are the moving averages of what learns, or as they were before.
        axial_weight: of the axial view in the fusion; coronal and sagittal share the rest.
        robust_share: share of a phase with Charbonnier's loss for the in-plane teacher, before the squared one.
        bias: weight of the squared mean error within lung, soft tissue and bone (`loss.tissue_bias`).
        learning_rate: of AdamW at its highest; in each phase it warms up and falls to zero.
        kernel_rate: the same of Muon, for the convolutions of the blocks.
        adapt_rate: share of the learning rates that a trained model is adapted to a scan with.
        go_back: share of the way back to a trained model's weights that its adaptation goes in the end.
        average: time constant, in steps, of the moving average of the weights.

    Raises:
        UsageError: USE-CONFIG where a view has no other to learn from.
    """

    inplane: InplaneConfig = field(default_factory=InplaneConfig)
    axial: AxialConfig = field(default_factory=AxialConfig)
    batch: int = 32
    patch_slices: int = 16
    patch_width: int = 64
    fine_share: float = 0.5
    plane_share: float = 0.35
    context_share: float = 0.55
    context_noise: bool = False
    row_noise: bool = True
    teacher: float = 1.0
    increment_minus1: float = 0.0
    increment_0: float = 0.0
    increment_plus1: float = 1.0
    gamma: float = 1.0
    learners: tuple[str, ...] = ("axial",)
    teaching: tuple[str, ...] = VIEWS
    fused_labels: bool = False
    moving_teachers: bool = True
    axial_weight: float = 0.0
    robust_share: float = 0.6
    bias: float = 1.5
    learning_rate: float = 2e-3
    kernel_rate: float = 0.02
    adapt_rate: float = 0.6
    go_back: float = 0.5
    average: int = 200

    def __post_init__(self) -> None:
        alone = [
            view for view in self.learners if not set(self.teaching) - ({view} if not self.fused_labels else set())
        ]
        if alone and self.increment_plus1:
            raise UsageError("USE-CONFIG", f"the {alone[0]} view has no other to learn from; add one to teaching")

    @property
    def term_weights(self) -> tuple[float, ...]:
        """Of the in-plane teacher and the increments -1, 0 and +1; the axial view learns nothing from the teacher."""
        teacher = self.teacher if {"coronal", "sagittal"} & set(self.learners) else 0.0
        return teacher, self.increment_minus1, self.increment_0, self.increment_plus1

    @property
    def increments_run(self) -> bool:
        """Whether anything learns from the increments, and has time to; the axial network learns from nothing else."""
        return bool(self.learners) and any(self.term_weights) and self.plane_share + self.context_share < 1 - 1e-6

    @classmethod
    def adapting(cls) -> FitConfig:
        """The choices for adapting a trained model, where those of a fit from nothing do not serve.

        It sees neighbouring planes from the first step on, and noisy ones: it was trained among acquired planes, and
        would come to rely on smooth ones.
        """
        return cls(plane_share=0.0, context_share=1.0, context_noise=True, learners=())

    def going_on(self, inplane: InplaneConfig, axial: AxialConfig, *, rate: float) -> FitConfig:
        """The same for a trained model of these sizes, at `rate` times the learning rates."""
        return replace(
            self,
            inplane=inplane,
            axial=axial,
            learning_rate=self.learning_rate * rate,
            kernel_rate=self.kernel_rate * rate,
        )
