"""What `tests.mutants` breaks: for each file the tests that are nearest to it, and by name an exact text, which occurs
once in the file, with what takes its place."""

# ruff: noqa: E501

MUTATIONS = (
    (
        "sofgan/apps/mesh.py",
        "tests/sofgan/sof/test_mesh.py",
        {
            "pieces that float behind a head stay": (
                "whole = shown >= LEAST_SEEN * sizes",
                "whole = shown >= 0",
            ),
            "loose hair stays": ("np.bincount(part, labels == HAIR) < sizes / 2", "sizes >= 0"),
            "a ragged back": ("np.where(sure > 0.5, values, blurred)", "values"),
            "what is seen is smoothed too": ("np.where(sure > 0.5, values, blurred)", "blurred"),
        },
    ),
    (
        "stages/execution/recorded.py",
        "tests/stages/test_recorded.py",
        {
            "changed parameters are recorded": ("flat(entry, value_at(parameters, entry))", "()"),
            "scans that come while a stage runs are lost": (
                'seen |= {(file, ""): state',
                'seen |= {(path, ""): 0',
            ),
            "code is not looked at": ("_digest(root / file) != digest", "_digest(root / file) is None"),
            "parameters of a list of code are not looked at": (
                'json.loads(json.dumps(values)) != listed.get("params")',
                "values is None",
            ),
        },
    ),
    (
        "stages/execution/sessions.py",
        "tests/stages/test_recorded.py",
        {"states go before all is seen": ("recorded.check()", "recorded.begin()")},
    ),
    (
        "sofgan/labels.py",
        "tests/sofgan/test_labels.py",
        {
            "halves of the nose swapped": (
                "np.where(is_left, L_NOSE, R_NOSE)",
                "np.where(is_left, R_NOSE, L_NOSE)",
            ),
            "nose leans the other way": ("columns - slope * rows", "columns + slope * rows"),
            "nose split at the mean": ("offset > np.median(offset)", "offset > np.mean(offset)"),
            "mirrored upside down": ("labels[..., ::-1]", "labels[..., ::-1, :]"),
            "mirror keeps sides of the nose": (
                "MIRROR_TABLE[[R_NOSE, L_NOSE]] = L_NOSE, R_NOSE",
                "MIRROR_TABLE[[R_NOSE, L_NOSE]] = R_NOSE, L_NOSE",
            ),
            "CelebAMask's nose and glasses swapped": (
                'CELEBAMASK_NAMES = (\n    "background", "skin", "nose", "eye_g"',
                'CELEBAMASK_NAMES = (\n    "background", "skin", "eye_g", "nose"',
            ),
            "BiSeNet's earring before its ears": (
                '"eye_g", "l_ear", "r_ear", "ear_r",\n    "nose"',
                '"eye_g", "ear_r", "l_ear", "r_ear",\n    "nose"',
            ),
            "ParseNet's brows and eyes swapped": (
                'PARSENET_NAMES = (\n    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow"',
                'PARSENET_NAMES = (\n    "background", "skin", "nose", "eye_g", "l_brow", "r_brow", "l_eye", "r_eye"',
            ),
            "lips swapped": ('"u_lip": U_LIP,\n    "l_lip": L_LIP', '"u_lip": L_LIP,\n    "l_lip": U_LIP'),
            "ears in the brows' style": (
                "(SKIN, R_NOSE, L_NOSE, EAR, NECK), (BROW,)",
                "(SKIN, R_NOSE, L_NOSE, NECK), (BROW, EAR)",
            ),
            "areas without void": (
                "minlength=NUM_CLASSES) / labels.size",
                "minlength=NUM_CLASSES) / max(1, (values != VOID).sum())",
            ),
            "mirrored tensors are not turned": ("table[labels.flip(-1).long()]", "table[labels.long()]"),
            "resized by pixels' edges": ("(2 * np.arange(size) + 1) * side", "(2 * np.arange(size)) * side"),
            "squares off the middle": ("(extent - side) * size) // (2 * size)", "0 * size) // (2 * size)"),
        },
    ),
    (
        "sofgan/labels.py",
        "tests/sofgan/parsing/test_parser_losses.py tests/sofgan/parsing/test_augment.py",
        {
            "mirrored noses keep their sides": (
                "table[labels.flip(-1).long()].to(labels.dtype)",
                "labels.flip(-1)",
            ),
        },
    ),
    (
        "sofgan/cameras.py",
        "tests/sofgan/test_cameras.py",
        {
            "look-at mirrored": ("_cross(forward, up + 0 * forward)", "_cross(up + 0 * forward, forward)"),
            "image down is world up": ("down = _cross(forward, right)", "down = _cross(right, forward)"),
            "focal length doubled": ("focal = 0.5 / math.tan", "focal = 1.0 / math.tan"),
            "rows from the columns' principal point": (
                "points[..., 1] - intrinsics[..., 1, 2]",
                "points[..., 1] - intrinsics[..., 0, 2]",
            ),
            "rows by the columns' focal length": ("/ intrinsics[..., 1, 1]", "/ intrinsics[..., 0, 0]"),
            "projected by the columns' focal length": (
                "in_camera[..., 1] / scale * intrinsics[..., 1, 1]",
                "in_camera[..., 1] / scale * intrinsics[..., 0, 0]",
            ),
            "pitch downward": ("xp.sin(pitch), xp.cos(yaw)", "-xp.sin(pitch), xp.cos(yaw)"),
            "yaw to the left": ("xp.stack([xp.sin(yaw)", "xp.stack([-xp.sin(yaw)"),
            "OpenGL looks forward": (
                "_like([1.0, -1.0, -1.0, 1.0], cam2world)",
                "_like([1.0, -1.0, 1.0, 1.0], cam2world)",
            ),
            "columns at their left edges": (
                "xp.meshgrid(xp.arange(size, **kind) + 0.5, xp.arange(size, **kind) + 0.5,",
                "xp.meshgrid(xp.arange(size, **kind) + 0.5, xp.arange(size, **kind),",
            ),
            "rows before columns": (
                "return xp.stack([x, y], -1) / size",
                "return xp.stack([y, x], -1) / size",
            ),
        },
    ),
    (
        "sofgan/cameras.py",
        "tests/sofgan/sof/test_rendering.py",
        {
            "parallel rays upside down": (
                "_like([1.0, 1.0, 0.0], in_camera)",
                "_like([1.0, -1.0, 0.0], in_camera)",
            ),
        },
    ),
    (
        "sofgan/photos/alignment.py",
        "tests/sofgan/photos/test_alignment.py",
        {
            "square by the wrong lengths": (
                "_HALF_SIDE_EYES, _HALF_SIDE_MOUTH = 2.0, 1.8",
                "_HALF_SIDE_EYES, _HALF_SIDE_MOUTH = 1.8, 2.0",
            ),
            "square by the shorter length": ("half = max(_HALF", "half = min(_HALF"),
            "middle above the eyes": (
                "eyes.mean(0) + _CENTRE_BELOW_EYES",
                "eyes.mean(0) - _CENTRE_BELOW_EYES",
            ),
            "roll by the eyes alone": ("between_eyes - _quarter_turn(to_mouth)", "between_eyes"),
            "landmarks at pixels' edges": (
                'record["face_landmarks"], np.float32) + 0.5',
                'record["face_landmarks"], np.float32)',
            ),
            "another corner of the mouth, of 68": ("points[[48, 54]]", "points[[48, 53]]"),
            "an eye without its last point, of 98": ("points[60:68]", "points[60:67]"),
            "maps by heights for widths": (
                "[labels.shape[1] / photo_size[0], labels.shape[0] / photo_size[1], 1]",
                "[labels.shape[0] / photo_size[0], labels.shape[1] / photo_size[1], 1]",
            ),
            "origin of the surroundings dropped": (
                "[[1, 0, -origin[0]], [0, 1, -origin[1]]",
                "[[1, 0, -origin[0]], [0, 1, 0]",
            ),
            "distance outside counts from within": ("places - (length - 1)", "places - (length - 9)"),
        },
    ),
    (
        "sofgan/scans/head_space.py",
        "tests/sofgan/scans/test_head_space.py",
        {
            "heads mirrored": (
                "np.stack([np.cross(up, front), up, front])",
                "np.stack([np.cross(front, up), up, front])",
            ),
            "transform kept without its scale": (
                "raw_to_head[:3, 3] = -scale * centre",
                "raw_to_head[:3, 3] = -centre",
            ),
            "halves of the nose swapped": (
                "np.where(middle_x < 0, labels.R_NOSE",
                "np.where(middle_x > 0, labels.R_NOSE",
            ),
            "heads fill the ball": ("scale = head_radius / radius", "scale = 1.0 / radius"),
            "middle by the hair": ("centre[0] = _middle(features)[0]", "centre[0] = _middle(head)[0]"),
            "chin too low": ("chin = eyes[1] - 2 * height", "chin = eyes[1] - 3.5 * height"),
            "clipped to a larger ball": (
                "(turned - centre) * scale, faces, 1.0)",
                "(turned - centre) * scale, faces, 1.2)",
            ),
            "a decimetre is a centimetre": ('"dm": 0.1', '"dm": 0.01'),
        },
    ),
    (
        "sofgan/scans/mesh_ops.py",
        "tests/sofgan/scans/test_mesh_ops.py",
        {
            "edges are cut at their far ends": (
                "heights[a] / (heights[a] - heights[b])",
                "heights[b] / (heights[b] - heights[a])",
            ),
            "the other root of the ball": (
                "(-pd + np.sqrt(pd**2 - dd * heights[inner])) / dd",
                "(-pd - np.sqrt(pd**2 - dd * heights[inner])) / dd",
            ),
        },
    ),
    (
        "sofgan/scans/unlabelled/label_fusion.py",
        "tests/sofgan/scans/unlabelled/test_label_fusion.py",
        {
            "slanting views vote as much": (
                "say = weight * straightness[triangles][index]",
                "say = weight * np.ones(len(index))",
            ),
            "labels flow across colours": ("weights = 0.02 + 0.98 * alike", "weights = 1.0 + 0 * alike"),
            "votes of one half of the nose are lost": (
                "votes[:, labels.R_NOSE] += votes[:, labels.L_NOSE]",
                "votes[:, labels.R_NOSE] += 0",
            ),
        },
    ),
    (
        "sofgan/rendering/renderer.py",
        "tests/sofgan/rendering/test_renderer.py",
        {
            "depth is linear in the buffer": (
                "distance = NEAR * FAR / (FAR - depth * (FAR - NEAR))",
                "distance = NEAR + depth * (FAR - NEAR)",
            ),
            "principal point upside down": (
                "1 - 2 * intrinsics[0, 2], 2 * intrinsics[1, 2] - 1",
                "1 - 2 * intrinsics[0, 2], 1 - 2 * intrinsics[1, 2]",
            ),
            "rows upside down": (
                "return numbers[::-1].astype(np.int32) - 1",
                "return numbers.astype(np.int32) - 1",
            ),
            "triangles numbered from one": (
                "return numbers[::-1].astype(np.int32) - 1",
                "return numbers[::-1].astype(np.int32)",
            ),
            "pixels at their left edges": ("(columns + 0.5) / size", "columns / size"),
            "corner weights turned": (
                "_volume(directions, b, c), _volume(directions, c, a)",
                "_volume(directions, c, a), _volume(directions, b, c)",
            ),
            "a light sees twice as wide": (
                "np.diag([1 / half_width, 1 / half_width,",
                "np.diag([0.5 / half_width, 0.5 / half_width,",
            ),
        },
    ),
    (
        "sofgan/views/multiview.py",
        "tests/sofgan/views/test_multiview.py",
        {
            "the frontal view may be held out": (
                "split[1 + generator.permutation(count - 1)",
                "split[generator.permutation(count - 1)",
            ),
            "heads seen from one side": (
                "np.radians(config.yaw_degrees) * (2 * strata - 1)",
                "np.radians(config.yaw_degrees) * strata",
            ),
            "pitch upside down": (
                "np.radians(generator.uniform(*config.pitch_degrees",
                "-np.radians(generator.uniform(*config.pitch_degrees",
            ),
            "one distance for all": ("config.radius * (1 + jitter)", "config.radius * (1 + 0 * jitter)"),
            "void is background": (
                "return np.append(counts[: labels.NUM_CLASSES], counts[labels.VOID])",
                "return np.append(counts[: labels.NUM_CLASSES], 0)",
            ),
        },
    ),
    (
        "sofgan/sof/rays.py",
        "tests/sofgan/sof/test_marchers.py tests/sofgan/sof/test_rendering.py",
        {
            "far end not by the ray's length": (
                "(-b - root) / a, (-b + root) / a",
                "(-b - root) / a, -b + root",
            ),
            "rays begin behind the camera": ("torch.where(hit & (c < 0), 0.0, near)", "near"),
        },
    ),
    (
        "sofgan/sof/rays.py",
        "tests/sofgan/sof/test_data.py tests/sofgan/sof/test_void.py",
        {
            "rays through pixels' upper edges": (
                "torch.stack([pixels % size + 0.5, pixels // size + 0.5], -1) / size",
                "torch.stack([pixels % size + 0.5, pixels // size], -1) / size",
            ),
            "rows for columns": (
                "torch.stack([pixels % size + 0.5, pixels // size + 0.5], -1) / size",
                "torch.stack([pixels // size + 0.5, pixels % size + 0.5], -1) / size",
            ),
        },
    ),
    (
        "sofgan/sof/rays.py",
        "tests/sofgan/sof/test_fit.py tests/sofgan/sof/inversion/test_invert.py",
        {
            "rays through pixels' upper edges, of an inversion": (
                "torch.stack([pixels % size + 0.5, pixels // size + 0.5], -1) / size",
                "torch.stack([pixels % size + 0.5, pixels // size], -1) / size",
            ),
        },
    ),
    (
        "sofgan/sof/volume_marcher.py",
        "tests/sofgan/sof/test_marchers.py",
        {
            "a sample stops itself": (
                "log_reached = torch.cat([torch.zeros_like(log_passed[..., :1]), log_passed[..., :-1]], -1)",
                "log_reached = log_passed",
            ),
            "stops where it is empty": (
                "stops = reached * (1 - log_empty.exp())",
                "stops = reached * log_empty.exp()",
            ),
            "depth not by opacity": (
                "(stops * depths).sum(-1) / opacity.clamp_min(1e-6)",
                "(stops * depths).sum(-1)",
            ),
            "samples at the near ends of their parts": (
                "torch.full((1, 1, samples), 0.5",
                "torch.full((1, 1, samples), 0.0",
            ),
            "one part too few": ("(start + offset) / samples", "(start + offset) / (samples - 1)"),
            "samples behind the surface alone": (
                "torch.where(known, depth_hint - half, near)",
                "torch.where(known, depth_hint, near)",
            ),
            "samples out of order": (
                ".clamp(near[..., None], far[..., None])], -1).sort(-1).values",
                ".clamp(near[..., None], far[..., None])], -1)",
            ),
            "misses are opaque": (
                "torch.where(hit, projection.opacity, 0.0)",
                "torch.where(hit, projection.opacity, 1.0)",
            ),
        },
    ),
    (
        "sofgan/sof/lstm_marcher.py",
        "tests/sofgan/sof/test_marchers.py",
        {
            "steps along the ray as depths": (".reshape(batch, count) / length", ".reshape(batch, count)"),
            "the input gate starts open": (
                "forget = slice(config.hidden, 2 * config.hidden)",
                "forget = slice(0, config.hidden)",
            ),
            "opacity of the background": ("1 - logs[..., 0].exp()", "logs[..., 0].exp()"),
            "starts spread widely": ("middle + spread * noise", "middle + noise"),
            "a step too few": ("for _ in range(self.config.steps)", "for _ in range(self.config.steps - 1)"),
            "gradients of the walk are free": ("g.clamp(-HIDDEN_GRADIENT_LIMIT, HIDDEN_GRADIENT_LIMIT)", "g"),
            "starts at the far side": (
                "ball_interval(rays)[0], SPHERE_START_STD",
                "ball_interval(rays)[1], SPHERE_START_STD",
            ),
        },
    ),
    (
        "sofgan/sof/hypernetwork.py",
        "tests/sofgan/sof/test_field.py",
        {
            "made weights start large": ("gain=0.1", "gain=1.0"),
            "initialised by fan-out": ('mode="fan_in"', 'mode="fan_out"'),
            "weights and biases overlap": ("made[:, split:]", "made[:, : self.shape[0]]"),
            "no layer norm": (
                "F.relu(F.layer_norm(values.to(points), values.shape[-1:]))",
                "F.relu(values.to(points))",
            ),
            "no bias": (
                "torch.baddbmm(bias[:, None], values, weight.transpose(1, 2))",
                "torch.bmm(values, weight.transpose(1, 2))",
            ),
        },
    ),
    (
        "sofgan/sof/triplane.py",
        "tests/sofgan/sof/test_field.py",
        {
            "a plane turned": ("AXES = ((0, 1), (2, 1), (0, 2))", "AXES = ((0, 1), (1, 2), (0, 2))"),
            "texels' centres at the corners": (
                'grid.flatten(0, 1)[:, None], padding_mode="border", align_corners=False',
                'grid.flatten(0, 1)[:, None], padding_mode="border", align_corners=True',
            ),
            "mean of planes": (
                "points.shape[1]).sum(1).transpose(1, 2)",
                "points.shape[1]).mean(1).transpose(1, 2)",
            ),
            "local weights between texels": (
                'size=size, mode="bilinear", align_corners=True',
                'size=size, mode="bilinear", align_corners=False',
            ),
            "planes as fine everywhere": ("((1 + focus) / (1 + focus * points.abs()))", "1.0"),
            "warped the other way": ("points = points + read_planes", "points = points - read_planes"),
            "rough along one axis": (
                "planes.diff(dim=-1).square().mean() + planes.diff(dim=-2).square().mean()",
                "planes.diff(dim=-1).square().mean()",
            ),
            "the background's bias on the skin": (
                "self.head.bias[0] += config.background_bias",
                "self.head.bias[1] += config.background_bias",
            ),
        },
    ),
    (
        "sofgan/sof/surface.py",
        "tests/sofgan/sof/test_rendering.py tests/sofgan/sof/test_void.py",
        {
            "normals point inward": ("outward = -(odds @ corners)", "outward = odds @ corners"),
            "surface from the far sample": (
                "odds_before / torch.where(crossed, odds_before - odds, 1.0)",
                "odds / torch.where(crossed, odds - odds_before, 1.0)",
            ),
            "a ray is stopped by a quarter": ("LOG_HALF = math.log(0.5)", "LOG_HALF = math.log(0.75)"),
        },
    ),
    (
        "sofgan/sof/occupancy.py",
        "tests/sofgan/sof/test_rendering.py",
        {
            "cells in another order": ("(z * side + y) * side + x", "(x * side + y) * side + z"),
            "cells without their neighbours": (
                "values = torch.where(_skipped(log_empty, _cross_max) | ~in_ball, SKIP, most)",
                "values = torch.where((log_empty > math.log1p(-OPEN)) | ~in_ball, SKIP, most)",
            ),
        },
    ),
    (
        "sofgan/sof/losses.py",
        "tests/sofgan/sof/test_train.py tests/sofgan/sof/test_void.py",
        {
            "rays weigh alike": (
                "return -(weights * picked_classes(log_probabilities, classes, void)).mean()",
                "return -picked_classes(log_probabilities, classes, void).mean()",
            ),
            "void pushes background down alone": (
                "logits[:, 1:].logsumexp(-1)), each)",
                "logits[:, 1:].logsumexp(-1).detach()), each)",
            ),
            "cross-entropy without its weight": ("total + weights.cross_entropy * terms", "total + terms"),
            "codes without their weight": ("total = weights.code * terms", "total = terms"),
            "rough fields are rewarded": (
                "total + weights.roughness * terms",
                "total - weights.roughness * terms",
            ),
            "negative depth without its weight": ("total + weights.negative_depth * terms", "total + terms"),
            "points alone keep their weight": ("(weights.points if project else 1.0)", "weights.points"),
            "points weigh alike": (
                "(each.reshape(classes.shape).mean(-1) * batch.weights).mean()",
                "each.mean()",
            ),
            "void points are background": (
                "F.softplus(logits[:, BACKGROUND] - logits[:, 1:].logsumexp(-1))",
                "F.softplus(logits[:, 1:].logsumexp(-1) - logits[:, BACKGROUND])",
            ),
            "void rays are background": ("torch.where(unknown, solid, picked)", "picked"),
            "positive depth is punished": ("projection.depth.clamp_max(0)", "projection.depth.clamp_min(0)"),
        },
    ),
    (
        "sofgan/sof/train.py",
        "tests/sofgan/sof/test_train.py tests/sofgan/sof/test_void.py",
        {
            "rates of codes and modules swapped": (
                "base_rates = [config.learning_rate, config.code_learning_rate]",
                "base_rates = [config.code_learning_rate, config.learning_rate]",
            ),
            "pieces count alike": (
                "torch.autograd.grad(weight * loss, parameters",
                "torch.autograd.grad(loss, parameters",
            ),
            "training views scored as held out": (
                "torch.nonzero(views.held_out == held_out)",
                "torch.nonzero(views.held_out != held_out)",
            ),
        },
    ),
    (
        "sofgan/sof/ray_draws.py",
        "tests/sofgan/sof/test_ray_draws.py",
        {
            "likely pixels weigh more": (
                "(total / pixels / chances) ** sampling.correction",
                "(chances / (total / pixels)) ** sampling.correction",
            ),
            "correction left out": (
                "(total / pixels / chances) ** sampling.correction",
                "(total / pixels / chances) ** 0",
            ),
        },
    ),
    (
        "sofgan/sof/data.py",
        "tests/sofgan/sof/test_data.py tests/sofgan/sof/test_void.py",
        {
            "free points behind the surface": (
                "close = end[..., None] - sampling.surface_width * draw**2",
                "close = end[..., None] + sampling.surface_width * draw**2",
            ),
            "labels in front of the surface": (
                "batch.depth[..., None] + sampling.surface_thickness * draw",
                "batch.depth[..., None] - sampling.surface_thickness * draw",
            ),
            "free points of the label": (
                "torch.where(kind == 2, batch.labels[..., None], 0)",
                "torch.where(kind >= 1, batch.labels[..., None], 0)",
            ),
            "held-out views are drawn": (
                "seen = torch.nonzero(~views.held_out)[:, 0]",
                "seen = torch.nonzero(views.held_out | ~views.held_out)[:, 0]",
            ),
            "rays' weights have any mean": ("group(weights / weights.mean())", "group(weights)"),
            "an epoch's order for all": (
                'generator=torch_generator(seed, "sof epoch", epoch)',
                'generator=torch_generator(seed, "sof epoch", 0)',
            ),
        },
    ),
    (
        "sofgan/sof/pixel_density.py",
        "tests/sofgan/sof/test_data.py tests/sofgan/sof/test_void.py",
        {
            "common classes are drawn more": (
                "shares.clamp_min(1e-9) ** -sampling.rare_power",
                "shares.clamp_min(1e-9) ** sampling.rare_power",
            ),
            "borders are drawn less": (
                "mixed = uniform + sampling.border_share * border",
                "mixed = uniform + sampling.border_share * (1 - border)",
            ),
        },
    ),
    (
        "sofgan/sof/sampling.py",
        "tests/sofgan/sof/test_sampling.py",
        {
            "softmax for a Dirichlet draw": (
                "return drawn / drawn.sum(-1, keepdim=True)",
                "return drawn.softmax(-1)",
            ),
            "a code may be drawn twice": (
                "torch.randperm(len(codes), generator=generator)[:bases]",
                "torch.randint(len(codes), (bases,), generator=generator)",
            ),
            "a head is its own neighbour": (
                "largest=False).indices[:, 1:].cpu()",
                "largest=False).indices[:, :-1].cpu()",
            ),
            "farthest for nearest": (
                "topk(neighbours + 1, dim=1, largest=False)",
                "topk(neighbours + 1, dim=1, largest=True)",
            ),
            "eq. 6 without its condition": ("atol=1e-4):", "atol=10.0):"),
            "spread left out": ("+ spread * noise *", "+ noise *"),
            "whitened by N": ("* math.sqrt(max(count - 1, 1))", "* math.sqrt(count)"),
            "likelihoods without determinants": ("(distance + variances.log()).sum(-1)", "distance.sum(-1)"),
            "smallest components": ("vectors.flip(1)[:, :dimensions]", "vectors[:, :dimensions]"),
            "components of one size": (
                "weights = mass / mass.sum()",
                "weights = torch.full_like(mass, 1 / len(mass))",
            ),
            "kinds of tensors by their sizes": (
                "features.append(offsets / offsets.square().sum(1).mean().sqrt().clamp_min(1e-12))",
                "features.append(offsets)",
            ),
            "walks at an even pace": (
                "fraction = ease(torch.arange(frames, device=codes.device) / frames)",
                "fraction = (torch.arange(frames, device=codes.device) / frames)",
            ),
        },
    ),
    (
        "sofgan/sof/inversion/code_prior.py",
        "tests/sofgan/sof/test_fit.py tests/sofgan/sof/inversion/test_map_encoder.py",
        {
            "coordinates not whitened": ("self.axes / self.axes.square().sum(1, keepdim=True)", "self.axes"),
            "deviations by N": (
                "lengths[:rank] / (len(codes) - 1) ** 0.5",
                "lengths[:rank] / len(codes) ** 0.5",
            ),
            "an open prior as wide as all directions": (
                "((len(codes) - 1) * codes.shape[1])",
                "(len(codes) - 1)",
            ),
        },
    ),
    (
        "sofgan/sof/inversion/cameras.py",
        "tests/sofgan/sof/test_fit.py",
        {
            "shifted the other way": ("self.intrinsics[0, 2] + shift_x", "self.intrinsics[0, 2] - shift_x"),
            "zoomed in one direction": (
                "self.intrinsics[1, 1] * scale",
                "self.intrinsics[1, 1] * torch.ones_like(scale)",
            ),
            "yaw and pitch swapped": (
                "yaw, pitch, zoom, shift_x, shift_y = values[index].unbind(-1)",
                "pitch, yaw, zoom, shift_x, shift_y = values[index].unbind(-1)",
            ),
        },
    ),
    (
        "sofgan/sof/inversion/start.py",
        "tests/sofgan/sof/test_fit.py tests/sofgan/sof/inversion/test_invert.py",
        {
            "shift of the zoomed head": (
                "(map_centre[index] - 0.5) - zoom[:, None] * (centre - 0.5)",
                "(map_centre[index] - 0.5) - (centre - 0.5)",
            ),
            "a face's area for its radius": ("(mass / size**2).sqrt()", "mass / size**2"),
            "rows for columns": (
                "[(face.sum(1) @ axis) / mass, (face.sum(2) @ axis) / mass]",
                "[(face.sum(2) @ axis) / mass, (face.sum(1) @ axis) / mass]",
            ),
            "zoom for its logarithm": ("zoom[flat].log()", "zoom[flat]"),
        },
    ),
    (
        "sofgan/scores/segmentation.py",
        "tests/sofgan/sof/test_fit.py tests/sofgan/sof/inversion/test_invert.py",
        {
            "unions twice": ("either = a.sum(1) + b.sum(0) - both", "either = a.sum(1) + b.sum(0)"),
        },
    ),
    (
        "sofgan/scores/segmentation.py",
        "tests/sofgan/scores/test_segmentation.py tests/sofgan/sof/test_void.py",
        {
            "rows the prediction": (
                "counts = np.bincount(truth * num_classes + prediction",
                "counts = np.bincount(prediction * num_classes + truth",
            ),
            "rows the prediction, of tensors": (
                "counts = torch.bincount(truth * num_classes + prediction",
                "counts = torch.bincount(prediction * num_classes + truth",
            ),
            "intersections twice in unions": (
                "self.counts.sum(0) + self.counts.sum(1) - np.diag(self.counts)",
                "self.counts.sum(0) + self.counts.sum(1)",
            ),
            "classes of neither set count as 0": (
                "float(np.nanmean(iou))",
                "float(np.nan_to_num(iou).mean())",
            ),
            "shares of the prediction": (
                "return self.counts.sum(1) / max(self.counts.sum(), 1)",
                "return self.counts.sum(0) / max(self.counts.sum(), 1)",
            ),
            "void in the prediction": (
                "known = truth != VOID\n        if not bool",
                "known = prediction != VOID\n        if not bool",
            ),
        },
    ),
    (
        "sofgan/images.py",
        "tests/sofgan/sof/test_fit.py tests/sofgan/sof/inversion/test_invert.py",
        {
            "zoomed out for in": (
                "x = (axis[None] - 0.5 - shift[:, :1]) / zoom[:, None] + 0.5",
                "x = (axis[None] - 0.5 - shift[:, :1]) * zoom[:, None] + 0.5",
            ),
            "shifted the other way": (
                "y = (axis[None] - 0.5 - shift[:, 1:])",
                "y = (axis[None] - 0.5 + shift[:, 1:])",
            ),
            "maps' columns for rows": (
                "maps[index, row[:, :, None], column[:, None, :]]",
                "maps[index, column[:, :, None], row[:, None, :]]",
            ),
        },
    ),
    (
        "sofgan/images.py",
        "tests/sofgan/scores/test_features.py",
        {
            "values from 0 to 1": ("float() / 127.5 - 1", "float() / 255"),
            "aliased resize": ('mode="bilinear", antialias=True', 'mode="bilinear", antialias=False'),
        },
    ),
    (
        "sofgan/sof/inversion/invert.py",
        "tests/sofgan/sof/test_fit.py tests/sofgan/sof/inversion/test_invert.py",
        {
            "cameras are held for codes": (
                "zip(optimizer.param_groups, rates, (still, False))",
                "zip(optimizer.param_groups, rates, (False, still))",
            ),
        },
    ),
    (
        "sofgan/sof/inversion/fit.py",
        "tests/sofgan/sof/test_fit.py tests/sofgan/sof/inversion/test_invert.py",
        {
            "codes may lie anywhere": (
                'loss = terms["cross_entropy"] + config.code_weight * terms["code_distance"]',
                'loss = terms["cross_entropy"]',
            ),
            "cameras are drawn to the front": (
                "(self.views.values[index] - self.expected[index])",
                "self.views.values[index]",
            ),
            "cameras may go anywhere": (
                'loss = loss + config.camera_weight * terms["camera_distance"]',
                "loss = loss",
            ),
            "ranges of another cell": ("(row * COARSE_SIZE + column)", "(column * COARSE_SIZE + row)"),
            "a negative depth's weight as in training": (
                "training.loss.negative_depth / (training.loss.cross_entropy or 1.0)",
                "training.loss.negative_depth",
            ),
            "empty ranges stay empty": (
                "known = ranges[..., 0] < ranges[..., 1]",
                "known = ranges[..., 0] < torch.inf",
            ),
            "pieces count alike": (
                "torch.autograd.grad(weight * loss, parameters",
                "torch.autograd.grad(loss, parameters",
            ),
        },
    ),
    (
        "sofgan/sof/inversion/map_adam.py",
        "tests/sofgan/sof/inversion/test_paper_inversion.py",
        {
            "second moments fade as first": ("1 - self.beta2**draws", "1 - BETA1**draws"),
            "all maps count as drawn": ("self.draws[rows] += 1", "self.draws += 1"),
            "root left out": (
                "(square / fade2.reshape(shape)).sqrt() + EPSILON",
                "(square / fade2.reshape(shape)) + EPSILON",
            ),
        },
    ),
    (
        "sofgan/sof/inversion/map_encoder.py",
        "tests/sofgan/sof/inversion/test_map_encoder.py",
        {
            "mirrored shift keeps its sign": ("[-1.0, 1, 1, -1, 1]", "[-1.0, 1, 1, 1, 1]"),
            "yaw from the other axis": (
                "torch.atan2(position[:, 0], position[:, 2])",
                "torch.atan2(position[:, 2], position[:, 0])",
            ),
            "camera values not in their units": (
                "made[:, -CAMERA_SIZE:] * self.units",
                "made[:, -CAMERA_SIZE:]",
            ),
        },
    ),
    (
        "sofgan/sof/plausibility.py",
        "tests/sofgan/sof/test_plausibility.py",
        {
            "better heads count as worse": (
                "self.scores[None] >= score[:, None] - 1e-12",
                "self.scores[None] <= score[:, None] + 1e-12",
            ),
            "a p-value may be 0": ("(1 + at_least) / (1 + len(self.scores))", "at_least / len(self.scores)"),
            "training heads judge themselves": ("others = np.delete(table, index, 0)", "others = table"),
            "below the range is inside": (
                "np.maximum(np.maximum(low - table, table - high), 0)",
                "np.maximum(table - high, 0)",
            ),
            "a class counts once a view": (
                '1 / views if name.startswith("area.")',
                '1.0 if name.startswith("area.")',
            ),
        },
    ),
    (
        "sofgan/sof/head_statistics.py",
        "tests/sofgan/sof/test_plausibility.py",
        {
            "views mirror themselves": ("labels.mirror(maps[views - 1 - i])", "labels.mirror(maps[i])"),
        },
    ),
    (
        "sofgan/siw/mixing.py",
        "tests/sofgan/siw/test_styled_conv.py tests/sofgan/siw/test_generator.py tests/sofgan/siw/test_model.py",
        {
            "first and second style swapped": (
                "torch.stack((first, 1 - first), 1)",
                "torch.stack((1 - first, first), 1)",
            ),
            "soft for hard": ("device=device) < soft_probability", "device=device) > soft_probability"),
            "two styles where one is meant": (
                "torch.where(two, z[:, 1], z[:, 0])",
                "torch.where(two, z[:, 0], z[:, 1])",
            ),
            "the second style from the first layer": ("crossover = 1 + (uniform", "crossover = (uniform"),
            "hard regions are all of the first": (" < 0.5).float()", " < 1.0).float()"),
            "every class a group": ("table[list(group)] = index", "table[group[0]] = index"),
            "regions are mixed in equal parts (eq. 8)": (
                "outputs * weights[:, :, None].to(outputs.dtype)",
                "outputs / outputs.shape[1]",
            ),
        },
    ),
    (
        "sofgan/siw/operators.py",
        "tests/sofgan/siw/test_operators.py tests/sofgan/siw/test_styled_conv.py tests/sofgan/siw/test_paper.py",
        {
            "demodulated by styles, not their squares": (
                "styles.square() @ squares.t()",
                "styles.abs() @ squares.t()",
            ),
            "a layer's rate left out of its scale": (
                "self.scale = lr_multiplier / math.sqrt(inputs)",
                "self.scale = 1 / math.sqrt(inputs)",
            ),
            "a kernel's side for its area": (
                "1 / math.sqrt(inputs * kernel**2)",
                "1 / math.sqrt(inputs * kernel)",
            ),
            "biases without the gain": (
                "bias = None if self.bias is None else self.bias * gain",
                "bias = self.bias",
            ),
            "codes are not normalised": (
                "return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-8)",
                "return x",
            ),
            "upsampling loses its gain": (
                "_filtered(F.pad(y, (1, 1, 1, 1)), 0.25)",
                "_filtered(F.pad(y, (1, 1, 1, 1)), 0.125)",
            ),
            "one axis by another filter": (
                "return 3 * tap * (x[..., 1:-2] + x[..., 2:-1]) + tap * (x[..., :-3] + x[..., 3:])",
                "return 2 * tap * (x[..., 1:-2] + x[..., 2:-1]) + 2 * tap * (x[..., :-3] + x[..., 3:])",
            ),
        },
    ),
    (
        "sofgan/siw/styled_conv.py",
        "tests/sofgan/siw/test_generator.py tests/sofgan/siw/test_operators.py tests/sofgan/siw/test_styled_conv.py tests/sofgan/siw/test_paper.py",
        {
            "demodulation without the gain": (
                "gains = demodulation(weight, styles) * GAIN",
                "gains = demodulation(weight, styles)",
            ),
            "noise without the gain": (
                "(noise * (self.noise_strength * GAIN))",
                "(noise * self.noise_strength)",
            ),
            "biases without the gain": (
                "bias = (self.bias * GAIN)[:, None, None]",
                "bias = self.bias[:, None, None]",
            ),
            "SPADE's shift without the gain (eq. 8)": (
                "y = (y * gain_shift[0]).add_(gain_shift[1], alpha=GAIN)\n            y = y + bias",
                "y = (y * gain_shift[0]).add_(gain_shift[1])\n            y = y + bias",
            ),
            "colours are demodulated": (
                "kernel = self.weight[:, :, 0, 0] * self.scale * styles",
                "kernel = self.weight[:, :, 0, 0] * self.scale * styles / styles.norm()",
            ),
        },
    ),
    (
        "sofgan/siw/spade.py",
        "tests/sofgan/siw/test_generator.py tests/sofgan/siw/test_operators.py tests/sofgan/siw/test_styled_conv.py tests/sofgan/siw/test_paper.py",
        {
            "SPADE scales by gamma": ("return 1 + gamma, beta", "return gamma, beta"),
            "SPADE's limit of half the gamma": ("torch.sigmoid(2 * gamma)", "torch.sigmoid(gamma)"),
            "SPADE of another size": (
                "self.map_size = min(size, config.spade_max_size)",
                "self.map_size = min(size // 2, config.spade_max_size)",
            ),
        },
    ),
    (
        "sofgan/siw/generator.py",
        "tests/sofgan/siw/test_generator.py tests/sofgan/siw/test_operators.py tests/sofgan/siw/test_styled_conv.py tests/sofgan/siw/test_paper.py",
        {
            "a block's styles are the first ones": (
                "styles = per_layer[layers : layers + block.layers]",
                "styles = per_layer[: block.layers]",
            ),
            "convolution and colours swap their styles": (
                "x = self.conv(x, w.pop(0), weights, noise.pop(0))",
                "x = self.conv(x, w.pop(), weights, noise.pop(0))",
            ),
            "a block's noise is the first": (
                "noise[noises : noises + block.noises]",
                "noise[: block.noises]",
            ),
            "layers of a size too many": (
                "if resolution is None or size <= resolution)\n        return",
                "if resolution is None or size <= 2 * resolution)\n        return",
            ),
            "colours without what is below": (
                "x, colors if rgb is None else upsample2(rgb) + colors",
                "x, colors",
            ),
            "noise by its seed alone": ("(seed * 65537 + size) * 64 + layer", "seed"),
        },
    ),
    (
        "sofgan/siw/encoder.py",
        "tests/sofgan/siw/test_generator.py tests/sofgan/siw/test_operators.py tests/sofgan/siw/test_styled_conv.py tests/sofgan/siw/test_paper.py",
        {
            "encoder's styles from the last": (
                "zip(self.blocks, w):\n            x = block",
                "zip(self.blocks, reversed(w)):\n            x = block",
            ),
            "plain blocks without their share": (
                "skip(downsample2(x))) * math.sqrt(0.5)",
                "skip(downsample2(x)))",
            ),
        },
    ),
    (
        "sofgan/siw/model.py",
        "tests/sofgan/siw/test_model.py",
        {
            "truncation turned round": (
                "self.generator.w_average.lerp(w, psi)",
                "w.lerp(self.generator.w_average, psi)",
            ),
            "all but the classes are restyled": (
                "similarity[list(classes)] = 0.0",
                "similarity = 1 - similarity; similarity[list(classes)] = 1.0",
            ),
            "pictures a shade too dark": (
                "((images + 1) * 127.5).round()",
                "((images + 1) * 127.5 - 1).round()",
            ),
        },
    ),
    (
        "sofgan/siw/critics/residual.py",
        "tests/sofgan/siw/critics/test_critics.py tests/sofgan/siw/test_paper.py",
        {
            "skip beside twice the branch": (
                "y = leaky_relu(self.second(downsample2(y), GAIN * math.sqrt(0.5)))",
                "y = leaky_relu(self.second(downsample2(y), GAIN))",
            ),
            "pictures get other groups' deviation": ("y.repeat_interleave(group)", "y.repeat(group)"),
            "groups of every n-th picture": (
                "x.float().unflatten(0, (batch // group, group))",
                "x.float().unflatten(0, (group, batch // group)).transpose(0, 1)",
            ),
            "variance for deviation": (
                ".square().mean(1).add(1e-8).sqrt().mean((1, 2, 3))",
                ".square().mean(1).add(1e-8).mean((1, 2, 3))",
            ),
            "smaller pictures enter a block late": (
                "self.blocks[int(math.log2(self.resolution // size)) :]",
                "self.blocks[int(math.log2(self.resolution // size)) + (size < self.resolution) :]",
            ),
        },
    ),
    (
        "sofgan/siw/losses.py",
        "tests/sofgan/siw/critics/test_critic_losses.py tests/sofgan/siw/critics/test_critics.py tests/sofgan/siw/test_path_length.py",
        {
            "photos count as fakes": (
                "F.softplus(-real).mean() + F.softplus(fake).mean()",
                "F.softplus(real).mean() + F.softplus(fake).mean()",
            ),
            "hinge of photos turned": ("F.relu(1 - r).mean()", "F.relu(1 + r).mean()"),
            "hinge of fakes turned": ("+ F.relu(1 + f).mean()", "+ F.relu(1 - f).mean()"),
            "generator seeks low hinge logits": (
                "sum(-f.mean() for f in fake)",
                "sum(f.mean() for f in fake)",
            ),
            "R1 is a mean over pixels": (
                "gradient.square().flatten(1).sum(1).mean()",
                "gradient.square().mean()",
            ),
            "path lengths grow with the picture": (
                "noise / math.sqrt(images.shape[2] * images.shape[3])",
                "noise",
            ),
            "path lengths sum over layers": (
                "gradient.sum(1).square().sum(2).mean(1)",
                "gradient.sum(1).square().sum(2).sum(1)",
            ),
            "styles' lengths apart": ("gradient.sum(1).square()", "gradient.square().sum(1)"),
        },
    ),
    (
        "sofgan/siw/training_step.py",
        "tests/sofgan/siw/test_training_step.py tests/sofgan/siw/test_view_pairs.py tests/sofgan/siw/test_train.py",
        {
            "R1 not by how seldom": ("(0.5 * config.r1_gamma * config.r1_every)", "(0.5 * config.r1_gamma)"),
            "R1 twice as strong": (
                "(0.5 * config.r1_gamma * config.r1_every)",
                "(config.r1_gamma * config.r1_every)",
            ),
            "consistency by the critics' rate": (
                "config.learning_rate_generator * factor * config.consistency_rate",
                "config.learning_rate_generator * factor",
            ),
            "views among the critics' moments": ("self.optimizer_c.step()", "self.optimizer_g.step()"),
            "critics' gradients in views' steps": ("self.optimizer_c.zero_grad(set_to_none=True)", "pass"),
            "views of a head in other styles": (
                'self._draws(step, "consistency")',
                'self._draws(step, f"consistency {len(painted)}")',
            ),
            "one view of a head twice": (
                "for labels in pairs.labels.unbind(1):",
                "for labels in pairs.labels[:, [0, 0]].unbind(1):",
            ),
            "the other view's picture teaches nothing": (
                "view_difference(*painted, pairs.warp)",
                "view_difference(painted[0], painted[1].detach(), pairs.warp)",
            ),
            "the other view's picture teaches nothing, by the spread": (
                "difference_by_spread(*painted, pairs, together)",
                "difference_by_spread(painted[0], painted[1].detach(), pairs, together)",
            ),
            "path lengths not by how seldom": (
                "(config.path_length_weight * config.path_length_every)",
                "config.path_length_weight",
            ),
            "a step in the past for R1": ("step % config.r1_every == 0:", "step % config.r1_every == 1:"),
            "share_fakes ignored": (
                "self._fakes(part, step, 0 if self.config.share_fakes else 1)",
                "self._fakes(part, step, 0)",
            ),
            "fakes always shared": ("keep = config.share_fakes and config.parts", "keep = config.parts"),
            "fakes never kept": (
                "keep = config.share_fakes and config.parts(distributed.world_size()) == 1",
                "keep = False",
            ),
            "the average length is the last": (
                'lerp_(scalars["path_length"], PATH_LENGTH_RATE)',
                'lerp_(scalars["path_length"], 1 - PATH_LENGTH_RATE)',
            ),
            "the average style is the last": ("W_AVERAGE_RATE = 0.005", "W_AVERAGE_RATE = 0.995"),
            "EMA's half-life does not ramp up": (
                "min(1000 * config.ema_halflife_kimg, config.ema_rampup * self.seen)",
                "1000 * config.ema_halflife_kimg",
            ),
            "EMA's half-life of a thousandth": (
                "min(1000 * config.ema_halflife_kimg,",
                "min(config.ema_halflife_kimg,",
            ),
            "rates cool down all the time": ("max(1.0, config.cooldown * total)", "max(1.0, total)"),
            "growing blocks start at once": (
                "if size > config.resolution_at(0):",
                "if size > config.generator.resolution:",
            ),
            "parts count alike": (
                "torch.autograd.grad(loss * self.weight, parameters",
                "torch.autograd.grad(loss, parameters",
            ),
            "scalars of parts add up": ("value.detach() * self.weight", "value.detach()"),
            "generator's betas by momentum": ("betas=(0.0, 0.99)", "betas=(0.9, 0.99)"),
            "both styles of layers are the first": (
                "torch.where(second[:, None, :, None], w[:, 1, None, None], w[:, 0, None, None])",
                "torch.where(second[:, None, :, None], w[:, 0, None, None], w[:, 0, None, None])",
            ),
            "augmented too fast": (
                "step = config.batch / (1000 * config.augment_kimg)",
                "step = config.batch / config.augment_kimg",
            ),
        },
    ),
    (
        "sofgan/siw/config.py",
        "tests/sofgan/siw/test_data.py tests/sofgan/siw/test_train.py",
        {
            "grown a step late": ("if seen < end:", "if seen <= end:"),
            "shares of growth from the start": (
                "end += 1000 * self.kimg * share",
                "end = 1000 * self.kimg * share",
            ),
        },
    ),
    (
        "sofgan/siw/critics/critics.py",
        "tests/sofgan/siw/critics/test_critic_losses.py tests/sofgan/siw/critics/test_critics.py tests/sofgan/siw/test_train.py",
        {
            "augmented less where sure": ("torch.sign(self.sign - target)", "torch.sign(target - self.sign)"),
            "palettes without their weight": (
                "self.config.palette_weight * losses.logistic_generator(fake.palette)",
                "losses.logistic_generator(fake.palette)",
            ),
            "regions without their weight, critic's side": (
                "self.config.region_weight * (named + unmasked)",
                "(named + unmasked)",
            ),
            "regions without their weight, generator's side": ("self.config.region_weight * named", "named"),
            "painted regions are not unmasked": ("* (named + unmasked)", "* named"),
            "fakes teach the critics nothing": (
                "losses.logistic_discriminator(real.residual, fake.residual)",
                "losses.logistic_discriminator(real.residual, real.residual)",
            ),
            "holes of half the side, whatever is asked for": (
                "augment(augmented, policies, draws, hole)",
                "augment(augmented, policies, draws)",
            ),
            "small pictures stay small": (
                "max(LEAST_SIZE, 2 * images.shape[-1])",
                "max(LEAST_SIZE, images.shape[-1])",
            ),
        },
    ),
    (
        "sofgan/siw/critics/palette.py",
        "tests/sofgan/siw/critics/test_palette.py",
        {
            "deviation is the second moment": ("(means[..., 3] - means[..., 4].square())", "means[..., 3]"),
            "hardly anything is absent": ("area > LEAST_SHARE * groups.shape[2]", "area > LEAST_SHARE"),
            "absent colours stay": ("(LOUDNESS * present)[..., None]", "LOUDNESS"),
            "R1 twice as strong": ("+ 0.5 * R1 * r1_penalty", "+ R1 * r1_penalty"),
            "colours by areas": (
                "weights = groups / area.clamp(min=1e-6)[..., None]",
                "weights = groups / groups.shape[2]",
            ),
            "classes for groups": (
                "class_to_group(images.device), regions",
                "class_to_group(images.device).roll(1), regions",
            ),
        },
    ),
    (
        "sofgan/siw/critics/regions.py",
        "tests/sofgan/siw/critics/test_critic_losses.py",
        {
            "small classes weigh by areas": ("share.rsqrt()", "share.reciprocal()"),
            "painted is the last class": ("PAINTED = NUM_CLASSES ", "PAINTED = NUM_CLASSES - 1 "),
            "places weigh alike": (
                "-(balance(regions) * (regions * log_names).sum(1)).mean()",
                "-(regions * log_names).sum(1).mean()",
            ),
        },
    ),
    (
        "sofgan/siw/critics/augment.py",
        "tests/sofgan/siw/critics/test_critics.py",
        {
            "holes of twice the side": ("half = ratio * height / 2", "half = ratio * height"),
            "pictures get brighter alone": (
                "(_draw(images, generator) - 0.5)\n    gray",
                "_draw(images, generator)\n    gray",
            ),
            "shifted one way": (
                "(uniform * (2 * reach + 1)).long() - reach",
                "(uniform * (reach + 1)).long()",
            ),
        },
    ),
    (
        "sofgan/siw/portrait_camera.py",
        "tests/sofgan/siw/test_model.py tests/sofgan/siw/test_condition_views.py",
        {
            "features at the head's centre": (
                "reach = distance - points[:, 2]",
                "reach = distance + 0 * points[:, 2]",
            ),
            "target below for above": (
                "offsets[0] / focal + points[0, 1]",
                "points[0, 1] - offsets[0] / focal",
            ),
            "heights of pixels' edges": (
                "rows = np.arange(labels.shape[1])[None, :, None] + 0.5",
                "rows = np.arange(labels.shape[1])[None, :, None] + 0.0",
            ),
            "half the field of view": (
                "np.degrees(2 * np.arctan(0.5 / focal))",
                "np.degrees(np.arctan(0.5 / focal))",
            ),
            "whole heads by half the field of view": (
                "np.degrees(2 * np.arctan(0.5 / float(intrinsics[0, 0])))",
                "np.degrees(np.arctan(0.5 / float(intrinsics[0, 0])))",
            ),
        },
    ),
    (
        "sofgan/siw/condition_views.py",
        "tests/sofgan/siw/test_condition_views.py tests/sofgan/siw/test_portrait_poses.py",
        {
            "shoulders' depth everywhere": (
                "np.where(labels != head, shoulder_depth(camera, shoulders), depth)",
                "np.where(labels == head, shoulder_depth(camera, shoulders), depth)",
            ),
            "each view a torso of its own": (
                "shoulders=poses.shoulders[heads * views]",
                "shoulders=poses.shoulders",
            ),
            "one torso for many heads": (
                "shoulders=poses.shoulders[heads * views]",
                "shoulders=poses.shoulders[heads * 0]",
            ),
            "views of a head far apart": (
                "HeadViews(codes[heads],",
                "HeadViews(codes[np.arange(len(poses)) % len(codes)],",
            ),
            "heads to score by come several times": (
                "config.views_per_head if purpose == TRAINING else 1",
                "config.views_per_head",
            ),
            "a head more than there are views of": (
                "-(-n // views.of_a_head(purpose))",
                "n // views.of_a_head(purpose) + 1",
            ),
        },
    ),
    (
        "sofgan/siw/portrait_poses.py",
        "tests/sofgan/siw/test_portrait_poses.py tests/sofgan/siw/test_condition_views.py",
        {
            "yaw all around": (
                "rng.uniform(-config.yaw_degrees, config.yaw_degrees, count)",
                "rng.uniform(-180.0, 180.0, count)",
            ),
            "pitch by the yaw's range": (
                "rng.uniform(-config.pitch_degrees, config.pitch_degrees, count)",
                "rng.uniform(-config.yaw_degrees, config.yaw_degrees, count)",
            ),
            "heads turn to one side": (
                "rng.uniform(-config.yaw_degrees, config.yaw_degrees, count)",
                "rng.uniform(0, config.yaw_degrees, count)",
            ),
            "rare turns become rarer": ("** -float(balance)", "** float(balance)"),
            "turns always even": ("** -float(balance)", "** -1.0"),
            "badly fitted people count": (
                'np.flatnonzero(found["joined"])',
                'np.arange(len(found["joined"]))',
            ),
        },
    ),
    (
        "sofgan/siw/condition_store.py",
        "tests/sofgan/siw/test_condition_store.py",
        {
            "pairs within one view": (
                "self.views_per_head)), axis=1)[:, :2]",
                "self.views_per_head)), axis=1)[:, [0, 0]]",
            ),
            "pairs across heads": ("heads[:, None] * self.views_per_head + views", "heads[:, None] + views"),
            "the first two views alone": (
                "np.argsort(rng.random((count, self.views_per_head)), axis=1)[:, :2]",
                "np.argsort(rng.random((count, 2)), axis=1)",
            ),
            "views in their order": (
                "np.argsort(rng.random((count, self.views_per_head)), axis=1)[:, :2]",
                "np.sort(np.argsort(rng.random((count, self.views_per_head)), axis=1)[:, :2])",
            ),
            "the last head is never seen": (
                "rng.integers(len(self), size=count)",
                "rng.integers(len(self) - 1, size=count)",
            ),
            "a view without its others counts": (
                "len(self._labels) // self.views_per_head",
                "-(-len(self._labels) // self.views_per_head)",
            ),
            "depth by labels' places": (
                "content = maps[:1].nbytes",
                "content = maps[:1].size",
            ),
        },
    ),
    (
        "sofgan/siw/view_pairs.py",
        "tests/sofgan/siw/test_view_pairs.py",
        {
            "warped the wrong way": ("first + 1, first)", "first, first + 1)"),
            "warped onto itself": ("first + 1, first)", "first, first)"),
            "hidden pixels count": ("(first - warp.apply(second)) * seen", "(first - warp.apply(second))"),
            "borders count": ("warp.seen & (there == one)", "warp.seen"),
            "classes between pixels": ('other[:, None].float(), "nearest"', "other[:, None].float()"),
            "mean over all pixels": ("inside.sum((1, 2, 3)).clamp(min=1 / CELL**2)", "inside[0].numel()"),
            "heads weigh by what is seen": (
                "(difference.sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1 / CELL**2)).mean()",
                "difference.sum() / inside.sum()",
            ),
            "nothing in common is no number": (
                "inside.sum((1, 2, 3)).clamp(min=1 / CELL**2)",
                "inside.sum((1, 2, 3))",
            ),
            "squares for absolute values": (
                "difference = colours.abs().mean(1, keepdim=True)",
                "difference = colours.square().mean(1, keepdim=True)",
            ),
            "sum of the colours": (
                "colours.abs().mean(1, keepdim=True)",
                "colours.abs().sum(1, keepdim=True)",
            ),
            "the spread of few heads": ("* (count / (count - 1).clamp(min=1)).sqrt()", ""),
            "styles gain by any spread": (".clamp(LEAST_SPREAD, WIDE_SPREAD)", ".clamp(LEAST_SPREAD)"),
            "regions weigh alike": ("(by_share * different)", "(shares.sign() * different)"),
            "heads of other parts": (
                "Warp(self.warp.grid[rows]",
                "Warp(self.warp.grid[: len(self.labels[rows])]",
            ),
        },
    ),
    (
        "sofgan/warping.py",
        "tests/sofgan/evaluation/test_warping.py tests/sofgan/siw/test_view_pairs.py",
        {
            "hidden surfaces count": ("inside & near &", "inside &"),
            "half a pixel off": ("place = place * size - 0.5", "place = place * size"),
            "only the upper left neighbour": (
                "steps % 2 + steps // 2 * size",
                "steps * 0",
            ),
            "a GPU waits for the host": (
                "torch.arange(4, device=device)",
                "torch.tensor([0, 1, 2, 3], device=device)",
            ),
            "neighbours of one row": ("steps % 2 + steps // 2 * size", "steps"),
            "any surface near enough": ("STEEPEST = 3.0", "STEEPEST = 300.0"),
            "half-centres of larger pixels": (
                "slice((times - 1) // 2, times // 2 + 1)",
                "slice(times // 2, times // 2 + 1)",
            ),
        },
    ),
    (
        "sofgan/siw/shoulders.py",
        "tests/sofgan/siw/test_shoulders.py",
        {
            "their back for their front": ("np.where(near > 0, near, far)", "far"),
            "over the head": ("hit & (labels == BACKGROUND)", "hit"),
        },
    ),
    (
        "sofgan/siw/data.py",
        "tests/sofgan/siw/test_data.py",
        {
            "windows beyond the border": ("rng.random((2, batch)) * (1 - side)", "rng.random((2, batch))"),
            "mirrored noses keep their sides": ("MIRROR_TABLE[cut], cut)", "cut, cut)"),
            "maps by their pixels' edges": (
                "places = (np.arange(size) + 0.5) / size\n    columns = np.where(crops.mirror[:, None], places[::-1], places)\n    extent",
                "places = np.arange(size) / size\n    columns = np.where(crops.mirror[:, None], places[::-1], places)\n    extent",
            ),
            "enlarged out of proportion": (
                "side = 1 / rng.uniform(1.0, scale_max, batch)",
                "side = rng.uniform(1 / scale_max, 1.0, batch)",
            ),
            "sources have equal shares": (
                "self.shares = np.array(list(used.values())) / sum(used.values())",
                "self.shares = np.full(len(used), 1 / len(used))",
            ),
            "photos brighter than white": (
                "float() / 127.5 - 1\n    # Places",
                "float() / 127.5\n    # Places",
            ),
        },
    ),
    (
        "sofgan/siw/data.py",
        "tests/sofgan/siw/test_view_pairs.py",
        {
            "the same heads in every step": ('"view pairs", step)', '"view pairs")'),
            "the same heads in all processes": (
                "draws, half(self.mine))",
                "draws, half(slice(0, self.batch // distributed.world_size())))",
            ),
            "half a head is lost": ("(rows.stop + 1) // 2)", "rows.stop // 2)"),
            "heads by their pictures' numbers": ("self.pairs.rows(half(rows))", "self.pairs.rows(rows)"),
        },
    ),
    (
        "sofgan/training.py",
        "tests/sofgan/test_training.py",
        {
            "half-life in steps": (
                "0.5 ** (batch / max(halflife_images, 1e-8))",
                "0.5 ** (1 / max(halflife_images, 1e-8))",
            ),
            "the average is the model": (
                "_foreach_lerp_(averages, values, 1 - beta)",
                "_foreach_lerp_(averages, values, beta)",
            ),
            "warm-up from zero": ("return (step + 1) / warmup", "return step / warmup"),
            "no floor": ("floor + (1 - floor) * 0.5", "(1 - floor) * 0.5"),
            "cosine over all steps": ("(step - warmup) / max(1, total - warmup)", "step / max(1, total)"),
        },
    ),
    (
        "sofgan/shares.py",
        "tests/sofgan/siw/test_train.py tests/sofgan/parsing/test_train_parser.py",
        {
            "the last share is lost": (
                "groups * (i + 1) // shares * unit) for i in range(shares)",
                "groups * (i + 1) // shares * unit) for i in range(max(1, shares - 1))",
            ),
            "gradients of pieces take turns": (
                "parameter.grad.add_(gradient)",
                "parameter.grad.copy_(gradient)",
            ),
        },
    ),
    (
        "sofgan/seeds.py",
        "tests/sofgan/test_seeds.py",
        {
            "names run together": ('"\\x1f".join', '"".join'),
            "seeds of 64 bits": ('"little") >> 1', '"little")'),
            "names are left out": (
                "return np.random.default_rng(derive_seed(seed, *names))",
                "return np.random.default_rng(derive_seed(seed))",
            ),
            "streams of torch have no names": (
                "generator.manual_seed(derive_seed(seed, *names))",
                "generator.manual_seed(derive_seed(seed))",
            ),
        },
    ),
    (
        "sofgan/distributed.py",
        "tests/sofgan/test_draws.py tests/sofgan/siw/test_train.py",
        {
            "each draws the first rows": (
                "return function(whole, generator=generator, dtype=dtype)[mine]",
                "return function(whole, generator=generator, dtype=dtype)[: shape[0]]",
            ),
        },
    ),
    (
        "sofgan/scores/frechet.py",
        "tests/sofgan/scores/test_distances.py",
        {
            "one cross term": ("np.trace(covariance2) - 2 * cross", "np.trace(covariance2) - cross"),
            "one cross term, of few vectors": (
                "- 2 * _roots(inner @ inner.T).sum()",
                "- _roots(inner @ inner.T).sum()",
            ),
            "biased covariance": (
                "return self.scatter / (self.count - 1)",
                "return self.scatter / self.count",
            ),
            "biased covariance, of few vectors": ("np.sqrt(len(features) - 1)", "np.sqrt(len(features))"),
            "means of sets merge in equal parts": (
                "self.mean + shift * (other.count / total)",
                "self.mean + shift * 0.5",
            ),
            "means' distance left out of a merge": (
                "np.outer(shift, shift) * (self.count * other.count / total)",
                "0 * np.outer(shift, shift)",
            ),
            "distance of means, not squared": (
                "distance = difference @ difference + np.trace",
                "distance = np.sqrt(difference @ difference) + np.trace",
            ),
        },
    ),
    (
        "sofgan/scores/kernel.py",
        "tests/sofgan/scores/test_distances.py",
        {
            "biased": ("(xx.sum() - np.trace(xx)) / (n * (n - 1))", "xx.mean()"),
            "quadratic kernel": ("+ 1) ** 3", "+ 1) ** 2"),
            "kernel not by dimensions": ("x @ y.T / x.shape[1] + 1", "x @ y.T + 1"),
            "subsets with repetition": ("size, replace=False", "size, replace=True"),
        },
    ),
    (
        "sofgan/scores/features.py",
        "tests/sofgan/scores/test_features.py",
        {
            "other sizes of the networks": ('{"lite0": 96, "lite2": 64}', '{"lite0": 64, "lite2": 96}'),
        },
    ),
    (
        "sofgan/networks/efficientnet.py",
        "tests/sofgan/scores/test_features.py",
        {
            "pictures not brought to 0 to 1": (
                "(0.5 * images + 0.5 - self.mean) / self.std",
                "(images - self.mean) / self.std",
            ),
            "ImageNet's deviations in another order": ("(0.229, 0.224, 0.225)", "(0.225, 0.224, 0.229)"),
        },
    ),
    (
        "sofgan/evaluation/portraits.py",
        "tests/sofgan/evaluation/test_portraits.py",
        {
            "the floor is of what is painted": ('(("", 0), ("_floor", 1))', '(("", 0), ("_floor", 0))'),
            "painted pictures against perfect ones": (
                "sets[side][name], photos[name], [(rows[side], rows[2])",
                "sets[side][name], sets[1][name], [(rows[side], rows[1])",
            ),
            "sets of all their pictures": ("n = min(lengths)", "n = max(lengths)"),
            "control's rows are what is seen": (
                "self.confusion.update(self.parser.parse(images), resize(labels, images.shape[-1]))",
                "self.confusion.update(resize(labels, images.shape[-1]), self.parser.parse(images))",
            ),
        },
    ),
    (
        "sofgan/warping.py",
        "tests/sofgan/evaluation/test_warping.py",
        {
            "pixels that are hidden count": (
                "inside & near & (around > 0).all(-1)",
                "inside & (around > 0).all(-1)",
            ),
            "places half a pixel off": (
                "grid = (place + 0.5) * (2 / size) - 1",
                "grid = place * (2 / size) - 1",
            ),
            "sources and targets turned round": (
                "origins, directions = cameras.rays(views[targets])",
                "origins, directions = cameras.rays(views[sources])",
            ),
            "borders of surfaces have a depth": (
                "torch.where(near & (around > 0).all(-1), mean, 0.0)",
                "torch.where((around > 0).all(-1), mean, 0.0)",
            ),
            "pairs of views one way": (
                "np.abs(np.abs(yaws[:, None] - yaws[None])",
                "np.abs((yaws[:, None] - yaws[None])",
            ),
        },
    ),
    (
        "sofgan/evaluation/view_consistency.py",
        "tests/sofgan/evaluation/test_view_consistency.py",
        {
            "hidden pixels are compared": (
                "weights = warp.seen / warp.seen.sum",
                "weights = torch.ones_like(warp.seen) / warp.seen.sum",
            ),
            "views that are not warped": (
                "moved = warp.apply(images[sources].flatten(1, 2)).view_as(there)",
                "moved = images[sources]",
            ),
            "all heads in the same styles": ('"orbit styles", head)', '"orbit styles", 0)'),
        },
    ),
    (
        "sofgan/evaluation/intervals.py",
        "tests/sofgan/evaluation/test_view_consistency.py",
        {
            "the range of pictures is 1": ("np.log10(4 /", "np.log10(1 /"),
            "an interval as of many heads": ("student(heads - 1)", "student(1000)"),
        },
    ),
    (
        "sofgan/evaluation/equivariance.py",
        "tests/sofgan/evaluation/test_equivariance.py",
        {
            "a picture that is not shifted back": ("images[1:]):", "images[:1].expand_as(images)[1:]):"),
            "shifts of label pixels": (
                "crop(wide, down * times, right * times, border)",
                "crop(wide, down, right, border)",
            ),
            "content moves up": ("(len(wide) - size) // 2 - down", "(len(wide) - size) // 2 + down"),
        },
    ),
    (
        "sofgan/evaluation/yaw_bins.py",
        "tests/sofgan/evaluation/test_yaw_bins.py",
        {
            "left and right are one bin apart": ("turned = np.abs(yaws_degrees)", "turned = yaws_degrees"),
            "fitted to what it is tested by": (
                "_fit(statistics[half], yaws[half])",
                "_fit(statistics[~half], yaws[~half])",
            ),
            "faces of all sizes alike": (
                "width = np.sqrt(np.maximum(squares, 1.0))",
                "width = np.sqrt(np.maximum(0 * squares, 99.0))",
            ),
        },
    ),
    (
        "sofgan/evaluation/avatar_orbits.py",
        "tests/sofgan/evaluation/test_avatar_orbits.py",
        {
            "each view exposed by itself": ("shaded[front][covered]", "shaded[0][triangles[0] >= 0]"),
            "all avatars in their own colors": ("recolored(head, colors)", "head"),
            "a class in one color": (
                "albedo = head.albedo * np.where",
                "albedo = head.albedo.mean(0) * np.where",
            ),
        },
    ),
    (
        "sofgan/evaluation/restyling.py",
        "tests/sofgan/evaluation/test_restyling.py",
        {
            "leakage turned round": ("float(far / within)", "float(within / far)"),
            "a spread of channels' mean": (".sum(1).mean()))", ".mean()))"),
            "colours of the whole picture": ("sums[shown] / area[shown, None]", "sums[shown]"),
            "change near the region is leakage": ("parts = (~near, inside)", "parts = (~inside, inside)"),
        },
    ),
    (
        "sofgan/parsing/parser.py",
        "tests/sofgan/parsing/test_parser.py tests/sofgan/parsing/test_inference.py",
        {
            "pictures not brought to 0 to 1": (
                "(0.5 * images + 0.5 - self.mean) / self.std",
                "(images - self.mean) / self.std",
            ),
            "mirrored answers keep their sides": ("softmax(1)[:, swap].flip(", "softmax(1).flip("),
            "mirrored answers stay mirrored": (
                "softmax(1)[:, swap].flip(\n                    -1\n                )",
                "softmax(1)[:, swap]",
            ),
            "BiSeNet's brows stay in the mirror": ("[0, 1, 3, 2, 5, 4, 6,", "[0, 1, 2, 3, 5, 4, 6,"),
            "files hold what a package has": ("items() if name not in parser.given}", "items()}"),
        },
    ),
    (
        "sofgan/parsing/data.py",
        "tests/sofgan/parsing/test_parser_losses.py tests/sofgan/parsing/test_train_parser.py",
        {
            "common classes weigh more": (
                "np.maximum(shares, 1e-5) ** -power",
                "np.maximum(shares, 1e-5) ** power",
            ),
            "weights of mean 1 over classes": (
                "(weights / (weights * shares).sum())",
                "(weights / weights.mean())",
            ),
            "repeats without their root": (
                "np.sqrt(below / present.mean(0).clip(1 / len(photos)))",
                "(below / present.mean(0).clip(1 / len(photos)))",
            ),
            "repeats by the commonest class": (
                "np.where(present, factors, 1).max(1)",
                "np.where(present, factors, np.inf).min(1)",
            ),
        },
    ),
    (
        "sofgan/parsing/train.py",
        "tests/sofgan/parsing/test_parser_losses.py tests/sofgan/parsing/test_train_parser.py",
        {
            "Dice without its factor": (
                "present, 1 - 2 * overlap / sizes",
                "present, 1 - overlap / sizes",
            ),
            "Dice over all classes": (
                "present = counts > 0\n    #",
                "present = counts >= 0\n    #",
            ),
            "auxiliary heads without their weight": (
                "loss + config.auxiliary_weight * F.cross_entropy",
                "loss + F.cross_entropy",
            ),
            "cross-entropy without class weights": (
                "F.nll_loss(log_probabilities, labels, weights)",
                "F.nll_loss(log_probabilities, labels)",
            ),
            "Dice loss without its weight": ("loss + config.dice_weight * dice_loss", "loss + dice_loss"),
            "the average starts long": (
                "min(config.ema_halflife_images, 0.1 * step * config.batch)",
                "config.ema_halflife_images",
            ),
            "biases decay, weights don't": (
                'if p.ndim > 1], "weight_decay": weight_decay',
                'if p.ndim <= 1], "weight_decay": weight_decay',
            ),
            "the worst state is kept": ('miou > self.best["miou"]', 'miou < self.best["miou"]'),
        },
    ),
    (
        "sofgan/parsing/augment.py",
        "tests/sofgan/parsing/test_parser_losses.py tests/sofgan/parsing/test_augment.py",
        {
            "turned photos of still maps": (
                "return images, moved.squeeze(1).to(labels.dtype)",
                "return images, labels",
            ),
            "shifted twice as far": ("shift = 2 * config.shift *", "shift = 4 * config.shift *"),
            "zoomed in alone": (
                "(1 + config.zoom) ** _uniform(count, -1, 1, generator)",
                "(1 + config.zoom) ** _uniform(count, 0, 1, generator)",
            ),
            "radians for degrees": (
                "torch.deg2rad(_uniform(count, -config.rotation_degrees, config.rotation_degrees, generator))",
                "_uniform(count, -config.rotation_degrees, config.rotation_degrees, generator)",
            ),
            "scenery before people": (
                "share(BACKGROUND) * scenery.behind",
                "(1 - share(BACKGROUND)) * scenery.behind",
            ),
            "scenery behind all": ("behind=(behind < probability)", "behind=(behind < 1)"),
            "scenery on no clothes": ("+ worn * (shown.flip(-2) - images)", ""),
        },
    ),
    (
        "sofgan/photos/people.py",
        "tests/sofgan/photos/test_people.py",
        {
            "validation takes the held-out share": (
                "kept = held_out_share + validation_share",
                "kept = validation_share",
            ),
            "sides swapped": (
                "HELD_OUT if draw < held_out_share else VALIDATION if draw < kept",
                "VALIDATION if draw < held_out_share else HELD_OUT if draw < kept",
            ),
            "CelebA's numbers for its names": (
                'row[0].lstrip("0") or "0": row[2]',
                'row[0].lstrip("0") or "0": row[1]',
            ),
            "people drawn in half of the range": ('"big") / 2**64', '"big") / 2**65'),
        },
    ),
    (
        "sofgan/photos/store.py",
        "tests/sofgan/photos/test_store.py",
        {
            "most photos are held out": (
                "return HELD_OUT if draw < share else TRAIN",
                "return HELD_OUT if draw > share else TRAIN",
            ),
        },
    ),
    (
        "stages/tracking/lineage.py",
        "tests/stages/test_tracking.py",
        {
            "old parameters count as current": ("value_at(params, key) == value", "True"),
            "what was read before counts as current": (
                "(md5 is None or md5 == written) and is_current(maker)",
                "is_current(maker)",
            ),
            "stages after a failed one are current": ('run["status"] == "FINISHED"', "True"),
            "outs in other order than dvc.yaml": (
                'order.index(name.split("@")[0])',
                '-order.index(name.split("@")[0])',
            ),
        },
    ),
    (
        "stages/batch_metrics.py",
        "tests/stages/test_scan_stages.py",
        {
            "batches weigh by what was rejected": (
                "batch[counts[0]] for batch in figures",
                "batch[counts[-1]] for batch in figures",
            ),
            "counts are means": ("if key in counts", "if key == counts[0]"),
        },
    ),
    (
        "stages/code_lists.py",
        "tests/stages/test_code.py",
        {
            "imports within functions are not seen": (
                "_run_at_import(tree) if lazy else ast.walk(tree)",
                "_run_at_import(tree)",
            ),
            "a package above is not run": (
                "return [own, *(package for package in packages if package.is_file())]",
                "return [own]",
            ),
            "relative imports from one package up": (
                "package = path.relative_to(root).parts[: -node.level]",
                "package = path.relative_to(root).parts[: -node.level - 1]",
            ),
            "a text is as the number in it": ("return ascii(value)", "return str(value)"),
            "digests of the files' names": (
                "json.dumps(content, sort_keys=True).encode()",
                'json.dumps(sorted(content["files"])).encode()',
            ),
        },
    ),
    (
        "stages/code_lists.py",
        "tests/stages/test_code.py",
        {
            "digest of the files alone": (
                "json.dumps(content, sort_keys=True)",
                'json.dumps(content["files"], sort_keys=True)',
            ),
        },
    ),
    (
        "stages/params.py",
        "tests/stages/test_params.py tests/stages/test_threads.py",
        {
            "each process takes all cores": (
                'cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))',
                "cores()",
            ),
            "the environment's device is ignored": (
                'os.environ.get("SOFGAN_DEVICE", read_params("runtime").device)',
                'read_params("runtime").device',
            ),
            "workers of the threads": (
                'return read_params("runtime").workers or own_cores()',
                'return read_params("runtime").threads or own_cores()',
            ),
            "a seed may be true": ("or isinstance(value, bool):", "or False:"),
        },
    ),
    (
        "sofgan/evaluation/sides.py",
        "tests/stages/test_evaluate.py",
        {
            "sides of photos swapped": (
                '{"held-out": np.flatnonzero(held), "training": np.flatnonzero(~held)}',
                '{"held-out": np.flatnonzero(~held), "training": np.flatnonzero(held)}',
            ),
        },
    ),
    (
        "sofgan/evaluation/distances.py",
        "tests/stages/test_evaluate.py",
        {
            "painted and real swapped": ('("", own, unseen, seen)', '("", unseen, own, seen)'),
            "heads scored as photos' maps": (
                '("_sof_maps", painted["sof"], unseen, seen)',
                '("_sof_maps", painted[other], unseen, seen)',
            ),
            "distances from the held-out photos": (
                "painted[other], unseen, seen)",
                "painted[other], seen, unseen)",
            ),
            "a half against itself": ('rows(unseen, two), "_held_out"', 'rows(unseen, one), "_held_out"'),
        },
    ),
    (
        "sofgan/evaluation/kept_features.py",
        "tests/sofgan/evaluation/test_kept_features.py",
        {
            "features are made anew": ("found = _read(file)", "raise FileNotFoundError"),
            "the newest used go": (")[:-KEPT]:", ")[-KEPT:]:"),
        },
    ),
    (
        "sofgan/siw/generator.py",
        "tests/sofgan/siw/test_painted_sets.py",
        {
            "all pictures have the first one's noise": (
                "for one in seeds))]",
                "for one in seeds[:1] * len(seeds)))]",
            ),
        },
    ),
    (
        "sofgan/siw/running_scores.py",
        "tests/sofgan/siw/test_running_scores.py",
        {
            "the latest of equals is the best": (
                "scores[SCORE] < before[SCORE]",
                "scores[SCORE] <= before[SCORE]",
            ),
            "the floor is of the photos that are learned from": (
                "frechet_distance(self._held_out[:count]",
                "frechet_distance(self._trained_on[:count]",
            ),
            "all batches in the first one's styles": ("len(rows), rows.start)", "len(rows), 0)"),
        },
    ),
    (
        "stages/evaluate.py",
        "tests/stages/test_evaluate.py",
        {
            "truth and fit swapped": (
                "ConfusionMatrix().update(fitted, truth)",
                "ConfusionMatrix().update(truth, truth)",
            ),
            "control of one set": ("control.merge(seen)", "control = seen"),
        },
    ),
    (
        "stages/invert_masks.py",
        "tests/stages/test_splits.py",
        {
            "held-out masks are inverted": (
                "np.flatnonzero(store.splits() != HELD_OUT)",
                "np.arange(len(store))",
            ),
        },
    ),
    (
        "sofgan/siw/photo_sources.py",
        "tests/stages/test_splits.py",
        {
            "held-out photos are trained on": (
                "for i in np.flatnonzero(store.splits() != HELD_OUT).tolist()",
                "for i in range(len(store))",
            ),
            "held-out maps are painted": (
                "places = np.flatnonzero(store.splits() != HELD_OUT).tolist()",
                "places = list(range(len(store)))",
            ),
        },
    ),
    (
        "sofgan/evaluation/batch_oddities.py",
        "tests/sofgan/evaluation/test_batch_oddities.py",
        {
            "the least odd first": ("ascending=[False, True]", "ascending=[True, True]"),
            "the least of what is odd is told": (
                "np.argsort(-scores.excess, 1",
                "np.argsort(scores.excess, 1",
            ),
        },
    ),
    (
        "sofgan/photos/packaged_detector.py",
        "tests/sofgan/photos/test_packaged_detector.py",
        {
            "linear layers read rows first": (
                "x.permute(0, 3, 2, 1).flatten(1)",
                "x.permute(0, 2, 3, 1).flatten(1)",
            ),
            "faces turned back the wrong way": (
                "(face.points - np.array(turned) / 2) @ rotation.T",
                "(face.points - np.array(turned) / 2) @ rotation",
            ),
            "the smallest face first": ("key=lambda face: -face.size", "key=lambda face: face.size"),
            "faces within faces count": ("if not (shared > 0.5).any():", "if True:"),
        },
    ),
    (
        "sofgan/parsing/face_points.py",
        "tests/sofgan/parsing/test_face_points.py",
        {"eyes anywhere": ("REACH = 0.4", "REACH = 9.0")},
    ),
    (
        "sofgan/apps/map_fit.py",
        "tests/sofgan/apps/test_map_fit.py",
        {
            "modules never learn": ("if config.released_steps:", "if False:"),
            "the camera turns the other way": ("self.yaw + yaw", "self.yaw - yaw"),
        },
    ),
    (
        "sofgan/apps/style_fit.py",
        "tests/sofgan/apps/test_style_fit.py",
        {
            "the painter is changed": ("copy.deepcopy(siw.generator)", "siw.generator"),
            "farthest style by color": ("square().sum(1).argmin()", "square().sum(1).argmax()"),
        },
    ),
    (
        "sofgan/apps/photo.py",
        "tests/sofgan/apps/test_photo.py",
        {
            "faces that no parser sees": ("< LEAST_FACE or seen < 2", "< 0"),
            "shrunk eyes are told": (
                "np.hypot(*(face.eyes[1] - face.eyes[0]))) * shrink",
                "np.hypot(*(face.eyes[1] - face.eyes[0])))",
            ),
        },
    ),
    (
        "sofgan/scans/gltf_colors.py",
        "tests/sofgan/scans/test_gltf_colors.py",
        {
            "dark 16 bits are taken for bytes": ("normalized or values.max() > 255", "values.max() > 255"),
            "palettes are light": ("and not _of_palette(colors[:, :3])", ""),
            "infinite numbers count": ("posinf=0.0", "posinf=9.0"),
        },
    ),
    (
        "sofgan/apps/photo_head.py",
        "tests/sofgan/apps/test_photo.py",
        {
            "explained classes are told": ("if iou < EXPLAINED", "if iou > EXPLAINED"),
            "poor fits are passed over": ('if report["map_miou"] < LIKE', "if False"),
            "small classes are missed": ("if share > LARGE", "if share > 0"),
        },
    ),
    (
        "sofgan/apps/looks.py",
        "tests/sofgan/apps/test_engine.py",
        {"looks keep their region": ("w[index] = others[index]", "w[index] = w[index]")},
    ),
)
