"""A linear generator: its pictures are mixtures of as many pictures as it has latents."""

from diffusers import ModelMixin  # noqa: F401  (diffusers recognises components by this name)
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from genmodels.hub.checks import check_resolution, check_whole
from genmodels.hub.modeling import HubModel


class Generator(HubModel):
    """z [N, z_dim] -> image [N, 3, R, R] in (-1, 1), where R = resolution."""

    @register_to_config
    def __init__(
        self,
        resolution: int = 32,  # Side of the image in pixels: a power of two from 16 to 64.
        z_dim: int = 8,  # Length of the latent vector, 1 to 64.
    ) -> None:
        super().__init__()
        check_resolution(resolution, 16, 64)
        self.z_dim = check_whole("z_dim", z_dim, 1, 64)
        self.to_image = nn.ConvTranspose2d(z_dim, 3, resolution)

    def forward(self, z: Tensor) -> Tensor:
        return self.to_image(z[:, :, None, None]).tanh()
