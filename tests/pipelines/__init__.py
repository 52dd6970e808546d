"""Tests of `genmodels.pipelines`."""
