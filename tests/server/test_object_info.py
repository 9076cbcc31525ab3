"""What the server tells the browser of this pack."""

from pack.tests.contract import CONTRACT


def test_every_node_is_in_object_info(object_info):
    assert {name for name in object_info if name.startswith("Inbetween")} == set(CONTRACT)


def test_the_backbones_in_models_are_offered(object_info):
    kind, options = object_info["InbetweenLoadLPIPS"]["input"]["required"]["backbone"]
    assert "alexnet-owt-7be5be79.pth" in (options["options"] if kind == "COMBO" else kind)


def test_the_workflows_are_offered_as_templates(server):
    offered = server.get("/workflow_templates")["comfyui-inbetween"]
    assert sorted(offered) == [
        "afb_finish_upscale",
        "afb_hunyuan_i2v",
        "afb_kab_retro_wan2.1",
        "afb_wan2.1_i2v",
        "afb_wan2.2_14b_i2v",
        "best_of_four",
        "bridge_sdedit_wan2.1",
        "gi_svd_xt",
        "kab_retro_wan2.1_flf2v",
        "keyframes_wan2.1_flf2v",
        "mpd_svd_xt",
        "multi_keyframe_join",
        "trf_svd_xt",
        "vibid_svd_xt",
    ]
